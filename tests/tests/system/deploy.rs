//! The files of `examples/deploy` are for the program beside them: their numbers follow from its attribute.

use std::{fs, net::SocketAddr, path::Path, time::Duration};

use graceful_tests::{Program, TERM, address, http::Client, wait_until};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn the_grace_period_of_the_platform_is_the_timeout() {
    let Attribute { timeout, .. } = Attribute::read();
    let kubernetes = settings("kubernetes.yaml");
    assert_eq!(duration(&kubernetes, "terminationGracePeriodSeconds:"), timeout, "Kubernetes");
    assert_eq!(duration(&settings("supervisord.conf"), "stopwaitsecs ="), timeout, "supervisord");
    for file in ["Dockerfile", "README.md"] {
        assert_eq!(duration(&text(file), "docker stop -t"), timeout, "docker stop in {file}");
    }
}

#[test]
fn it_is_out_of_the_balancer_before_its_lame_duck_is_over() {
    let Attribute { lame_duck, .. } = Attribute::read();
    let kubernetes = settings("kubernetes.yaml");
    let (_, probe) = kubernetes.split_once("readinessProbe:").expect("a probe");
    let (probe, _) = probe.split_once("livenessProbe:").expect("another probe after it");
    let haproxy = settings("haproxy.cfg");
    let detections = [
        ("Kubernetes", probe, ["periodSeconds:", "failureThreshold:", "timeoutSeconds:"]),
        ("HAProxy", &haproxy, ["check inter", "fall", "timeout check"]),
    ];
    for (who, text, [period, failures, timeout]) in detections {
        let detected = duration(text, period) * count(text, failures) + duration(text, timeout);
        assert!(detected < lame_duck, "{who} takes {detected:?}, the lame duck {lame_duck:?}");
        let readme = format!("detection, {} s", detected.as_secs());
        assert!(
            text_of_readme().contains(&readme),
            "the README says otherwise: {who} {detected:?}"
        );
    }
}

#[test]
fn an_answer_may_take_as_long_as_the_drain() {
    let Attribute { timeout, lame_duck, finalize_timeout } = Attribute::read();
    let drain = timeout.checked_sub(lame_duck + finalize_timeout).expect("a drain");
    assert_eq!(duration(&settings("haproxy.cfg"), "timeout server"), drain, "HAProxy");
    assert_eq!(duration(&settings("nginx.conf"), "proxy_read_timeout"), drain, "nginx");
}

#[test]
fn it_is_the_balancer_that_closes_an_idle_connection() {
    let kept = duration(&settings("nginx.conf"), "keepalive_timeout");
    // Of `graceful::http::serve`: the default, which is what the service has.
    let serve = text("../../graceful-runtime/src/http/serve.rs");
    let idle = duration(&serve, "idle: Duration::from_secs(");
    assert!(kept < idle, "nginx keeps it for {kept:?}, the service for {idle:?}");
}

#[test]
fn the_signal_is_term_and_goes_to_the_program_alone() {
    let docker = settings("Dockerfile");
    assert_eq!(word(&docker, "STOPSIGNAL"), "SIGTERM");
    // The exec form: without it a shell is in front.
    assert!(word(&docker, "ENTRYPOINT").starts_with("[\""), "{docker}");
    assert!(count(&docker, "USER") > 0, "root is 0");
    let supervisord = settings("supervisord.conf");
    assert_eq!(word(&supervisord, "stopsignal ="), "TERM");
    assert_eq!(word(&supervisord, "stopasgroup ="), "false");
    assert_eq!(word(&supervisord, "killasgroup ="), "true");
}

#[test]
fn all_mean_the_same_port() {
    let port = count(&text("service.rs"), "\"0.0.0.0:");
    assert_eq!(count(&settings("Dockerfile"), "EXPOSE"), port);
    assert_eq!(count(&settings("kubernetes.yaml"), "containerPort:"), port);
    for file in ["haproxy.cfg", "nginx.conf"] {
        let settings = settings(file);
        let servers = settings.matches("10.0.0.").count();
        assert_eq!(settings.matches(&format!(":{port}")).count(), servers, "{file}");
    }
}

#[test]
fn the_readme_has_the_attribute() {
    assert!(text_of_readme().contains(&attribute()), "expected {}", attribute());
}

/// It says that it is not ready, and serves on.
#[test]
fn the_service_leaves_the_balancer_before_it_stops() {
    let address = address::free();
    let program = Program::new("service").env("ADDRESS", &address.to_string());
    // Longer than the three requests can take; the second TERM ends it.
    let program = program.env("GRACEFUL_LAME_DUCK", "20s").start();
    wait_until(|| get(address, "/readyz") == Some(200));
    let program = program.signal(TERM).line("signal received");
    wait_until(|| get(address, "/readyz") == Some(503));
    assert_eq!(get(address, "/livez"), Some(200));
    assert_eq!(get(address, "/"), Some(200));
    let _ended = program.after(Duration::from_millis(150)).signal(TERM).exits(0);
    assert_eq!(get(address, "/"), None);
}

/// What the program was built with.
struct Attribute {
    timeout: Duration,
    lame_duck: Duration,
    finalize_timeout: Duration,
}

impl Attribute {
    fn read() -> Self {
        let attribute = attribute().replace('"', " ");
        let timeout = duration(&attribute, "(timeout =");
        Self {
            timeout,
            lame_duck: duration(&attribute, "lame_duck ="),
            // The default, which is what the files are made for.
            finalize_timeout: (timeout / 4).min(5 * SECOND),
        }
    }
}

/// The attribute, as it stands in the program.
fn attribute() -> String {
    let service = text("service.rs");
    let line = service.lines().find(|line| line.starts_with("#[graceful::main("));
    line.expect("an attribute, in one line").to_owned()
}

fn text(file: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/deploy");
    fs::read_to_string(folder.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn text_of_readme() -> String {
    text("README.md")
}

/// The file without its comments.
fn settings(file: &str) -> String {
    let text = text(file);
    text.lines()
        .map(|line| line.split('#').next().unwrap_or_default())
        .collect::<Vec<_>>()
        .join("\n")
}

/// What follows the one `key`, up to the next space.
fn word(text: &str, key: &str) -> String {
    let found: Vec<_> = text.match_indices(key).collect();
    let [(at, _)] = found[..] else { panic!("`{key}` is {} times in:\n{text}", found.len()) };
    let word = text[at + key.len()..].split_whitespace().next().unwrap_or_default();
    word.trim_end_matches(|end| ";,)\"`".contains(end)).to_owned()
}

fn count(text: &str, key: &str) -> u32 {
    let word = word(text, key);
    let number = word.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
    number.parse().unwrap_or_else(|_| panic!("`{key}` is followed by {word:?}"))
}

/// A bare number is seconds.
fn duration(text: &str, key: &str) -> Duration {
    let (word, count) = (word(text, key), count(text, key));
    match word.trim_start_matches(|c: char| c.is_ascii_digit()) {
        "" | "s" => count * SECOND,
        "ms" => count * SECOND / 1000,
        other => panic!("`{key}`: the unit {other:?}"),
    }
}

/// The status of the answer, if there is one.
fn get(address: SocketAddr, path: &str) -> Option<u16> {
    Client::new(address).call("GET", path, "").ok().map(|(status, _)| status)
}
