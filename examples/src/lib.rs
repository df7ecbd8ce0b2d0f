//! Examples for `graceful`, numbered like a course: each is a program of this package, with one new idea, and begins with how to
//! run it.
