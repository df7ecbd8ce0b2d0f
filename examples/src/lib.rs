//! Examples for `graceful`, numbered like a course. Each is a program of this package with one new idea, and its first lines say how to run it.
