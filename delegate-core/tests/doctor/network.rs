//! Faults on the way to the manager: names, ports, gateways, clocks, and proxies.

use super::site::{managers, refusing, reply, serve};
use super::support::real_manager::RealManager;
use super::{Fault, Patient};

const PAGE: &str = "content-type: text/html\r\n";

fn plain(answer: impl Fn(&str) -> String + Send + 'static) -> Patient {
    Patient::of(&format!("http://localhost:{}", serve(None, answer)))
}

pub(crate) fn seeded(manager: &RealManager) -> Vec<Fault> {
    // A label of more than 63 characters cannot be looked up: no name service is asked.
    let no_name = format!("http://{}.test", "x".repeat(64));
    let (socket, port) = refusing();
    let speaks_http = serve(None, |head| managers(head, 0));
    let (log_socket, log_port) = refusing();
    let mut faults = vec![
        Fault::problem(
            "a name that does not exist",
            Patient::of(&no_name),
            "manager.name",
            "has no address",
        ),
        Fault::problem(
            "a port where nobody listens",
            Patient::of(&format!("http://127.0.0.1:{port}")).keeping(socket),
            "manager.connection",
            "see that the manager runs",
        ),
        Fault::problem(
            "TLS to a server that speaks none",
            Patient::of(&format!("https://localhost:{speaks_http}")),
            "manager.tls",
            "write http://",
        ),
        Fault::problem(
            "a login portal",
            plain(|_| reply("200 OK", PAGE, "<html>log in</html>")),
            "manager.answer",
            "web page",
        ),
        Fault::problem(
            "a redirect",
            plain(|_| reply("302 Found", "location: https://elsewhere.test/\r\n", "")),
            "manager.answer",
            "redirect",
        ),
        Fault::problem(
            "a manager in trouble",
            plain(|_| reply("503 Service Unavailable", "", "")),
            "manager.answer",
            "answers 503",
        ),
        Fault::problem(
            "another web server",
            plain(|_| reply("404 Not Found", "", "no such page")),
            "manager.answer",
            "not as a manager does",
        ),
        Fault::problem(
            "a server that hangs up",
            plain(|_| String::new()),
            "manager.answer",
            "does not answer",
        ),
        Fault::warning(
            "a clock that is a minute off",
            plain(|head| managers(head, 60)),
            "manager.clock",
            "ahead of this machine's",
        ),
        Fault::problem(
            "a clock that is an hour off",
            plain(|head| managers(head, -3600)),
            "manager.clock",
            "behind this machine's",
        ),
        Fault::problem(
            "a log service where nobody listens",
            Patient::of(&manager.url)
                .with(
                    "LOG_STREAMING_SERVICE_URL",
                    format!("http://127.0.0.1:{log_port}/"),
                )
                .keeping(log_socket),
            "log_service",
            "does not answer",
        ),
    ];
    faults.extend(proxies());
    faults
}

/// A delegate of this manager behind a proxy at this port.
fn behind(manager: &str, port: u16) -> Patient {
    Patient::of(manager)
        .with("PROXY_HOST", "127.0.0.1")
        .with("PROXY_PORT", port.to_string())
}

fn proxies() -> Vec<Fault> {
    let (socket, closed) = refusing();
    let wants_login = || {
        serve(None, |_| {
            reply(
                "407 Proxy Authentication Required",
                "proxy-authenticate: Basic realm=\"x\"\r\n",
                "",
            )
        })
    };
    let forbids = serve(None, |_| reply("403 Forbidden", "", ""));
    let passes = || serve(None, |head| managers(head, 0));
    vec![
        Fault::problem(
            "a proxy that is not there",
            behind("http://manager.example.test", closed).keeping(socket),
            "proxy.connection",
            "PROXY_PORT",
        ),
        Fault::problem(
            "a proxy without a port",
            Patient::of(&format!("http://localhost:{}", passes())).with("PROXY_HOST", "proxy"),
            "settings.values",
            "PROXY_PORT is not set",
        ),
        Fault::problem(
            "a proxy that wants a login, to a plain manager",
            behind("http://manager.example.test", wants_login()),
            "proxy.login",
            "wants a login",
        ),
        Fault::problem(
            "a proxy that wants a login, to a TLS manager",
            behind("https://manager.example.test", wants_login()),
            "proxy.login",
            "the proxy wants a login",
        ),
        Fault::problem(
            "a proxy that does not take its login",
            behind("https://manager.example.test", wants_login())
                .with("PROXY_USER", "me")
                .with("PROXY_PASSWORD", "hunter2"),
            "proxy.login",
            "does not take its login",
        ),
        Fault::problem(
            "a proxy that forbids the manager",
            behind("https://manager.example.test", forbids),
            "proxy.tunnel",
            "NO_PROXY",
        ),
        Fault::warning(
            "an exception with a star",
            behind("http://manager.example.test", passes()).with("NO_PROXY", "10.0.0.0/8,*.corp.test"),
            "proxy.exceptions",
            "write the domain alone",
        ),
        Fault::warning(
            "an exception with a port",
            behind("http://manager.example.test", passes()).with("NO_PROXY", "corp.test:8080"),
            "proxy.exceptions",
            "without a port",
        ),
    ]
}
