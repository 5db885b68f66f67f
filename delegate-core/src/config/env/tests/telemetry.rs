//! OpenTelemetry's variables.

use super::*;

/// A collector's endpoint, and these.
fn exporting(extra: &[(&str, &str)]) -> Result<Telemetry, ConfigErrors> {
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318/base/");
    with(&[&[endpoint], extra].concat()).map(|config| config.telemetry)
}

/// Where both signals go.
fn endpoints(telemetry: &Telemetry) -> [Option<&str>; 2] {
    [
        telemetry
            .traces
            .as_ref()
            .map(|traces| traces.to.endpoint.as_str()),
        telemetry
            .metrics
            .as_ref()
            .map(|metrics| metrics.to.endpoint.as_str()),
    ]
}

#[test]
fn nothing_is_exported_without_an_endpoint_and_nothing_then_judged() {
    let strange = [
        ("OTEL_TRACES_EXPORTER", "zipkin"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "nonsense"),
        ("OTEL_RESOURCE_ATTRIBUTES", "nonsense"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "0"),
    ];
    assert!(with(&strange).unwrap().telemetry.is_off());
    let off = [&strange[..], &[("OTEL_SDK_DISABLED", "true")]].concat();
    assert!(exporting(&off).unwrap().is_off());
    let neither = [
        ("OTEL_TRACES_EXPORTER", "none"),
        ("OTEL_METRICS_EXPORTER", "prometheus"),
    ];
    assert!(exporting(&neither).unwrap().is_off());
}

#[test]
fn a_signal_has_its_path_after_the_common_endpoint_and_none_after_its_own() {
    assert_eq!(
        endpoints(&exporting(&[]).unwrap()),
        [
            Some("http://collector:4318/base/v1/traces"),
            Some("http://collector:4318/base/v1/metrics")
        ]
    );
    let own = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://traces.example/in");
    assert_eq!(
        endpoints(&exporting(&[own]).unwrap()),
        [
            Some("https://traces.example/in"),
            Some("http://collector:4318/base/v1/metrics")
        ]
    );
    assert_eq!(
        endpoints(&with(&[own]).unwrap().telemetry),
        [Some("https://traces.example/in"), None]
    );
    let grpc = exporting(&[("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")]).unwrap();
    assert_eq!(endpoints(&grpc), [Some("http://collector:4318/base/"); 2]);
    let only = exporting(&[
        ("OTEL_TRACES_EXPORTER", "none"),
        ("OTEL_METRICS_EXPORTER", "prometheus,otlp"),
    ]);
    assert_eq!(
        endpoints(&only.unwrap()),
        [None, Some("http://collector:4318/base/v1/metrics")]
    );
}

#[test]
fn headers_attributes_and_samplers_are_those_of_the_specification() {
    let telemetry = exporting(&[
        (
            "OTEL_EXPORTER_OTLP_HEADERS",
            "Authorization=Bearer%20hunter2-hunter2=, x-tenant = a b ,",
        ),
        ("OTEL_EXPORTER_OTLP_METRICS_HEADERS", "api-key=12"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "1500"),
        (
            "OTEL_RESOURCE_ATTRIBUTES",
            "service.name=x,deployment.environment=a%2Cb%3D",
        ),
        ("OTEL_SERVICE_NAME", "agents"),
        ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
        ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
    ])
    .unwrap();
    assert!(!format!("{telemetry:?}").contains("hunter2"), "{telemetry:?}");
    let (traces, metrics) = (
        telemetry.traces.clone().unwrap(),
        telemetry.metrics.clone().unwrap(),
    );
    let shown = |to: &Otlp| -> Vec<String> {
        to.headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.expose()))
            .collect()
    };
    assert_eq!(
        shown(&traces.to),
        ["authorization: Bearer hunter2-hunter2=", "x-tenant: a b"]
    );
    assert_eq!(
        shown(&metrics.to),
        ["api-key: 12"],
        "a signal's own list is the whole of it"
    );
    assert_eq!(traces.to.timeout, Duration::from_millis(1500));
    assert_eq!(traces.sampled.millionths(), 250_000);
    let attributes: Vec<_> = telemetry
        .resource
        .iter()
        .map(|(name, value)| (&**name, &**value))
        .collect();
    assert_eq!(
        attributes,
        [("deployment.environment", "a,b="), ("service.name", "agents")]
    );
    assert_eq!(
        telemetry.own(),
        [Secret::new("hunter2-hunter2=")],
        "a tenant's name is no secret"
    );
    for (sampler, share) in [
        ("always_on", SampleRatio::ALL),
        ("always_off", SampleRatio::NONE),
        ("traceidratio", SampleRatio::ALL),
    ] {
        let traces = exporting(&[("OTEL_TRACES_SAMPLER", sampler)])
            .unwrap()
            .traces
            .unwrap();
        assert_eq!(traces.sampled, share, "{sampler}");
    }
}

#[test]
fn a_wrong_setting_of_the_export_names_its_variable_the_remedy_and_no_secret() {
    for (name, value, part) in [
        (
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            "hunter2:4318",
            "is not a URL with http:// or https://",
        ),
        (
            "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
            "https://me:hunter2@c/",
            "has a login; write it in OTEL_EXPORTER_OTLP_HEADERS",
        ),
        (
            "OTEL_EXPORTER_OTLP_PROTOCOL",
            "thrift",
            "is not one of http/protobuf, http/json, grpc",
        ),
        (
            "OTEL_TRACES_EXPORTER",
            "otlp,zipkin",
            "\"zipkin\" is not supported; set otlp or none",
        ),
        ("OTEL_TRACES_EXPORTER", "prometheus", "is not supported"),
        (
            "OTEL_EXPORTER_OTLP_HEADERS",
            "a=b,hunter2",
            "entry 2 is not NAME=VALUE",
        ),
        ("OTEL_EXPORTER_OTLP_HEADERS", "=hunter2", "entry 1 has no name"),
        (
            "OTEL_EXPORTER_OTLP_HEADERS",
            "a=%hunter2",
            "entry 1 is not URL-encoded",
        ),
        (
            "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
            "a=hunter2%0A",
            "a value for a that no header can have",
        ),
        (
            "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
            "a b=hunter2",
            "a name that no header can have",
        ),
        (
            "OTEL_EXPORTER_OTLP_HEADERS",
            "Content-Type=hunter2",
            "sets the header content-type",
        ),
        (
            "OTEL_EXPORTER_OTLP_TIMEOUT",
            "0",
            "must be at least 1; it is a number of milliseconds",
        ),
        ("OTEL_METRIC_EXPORT_INTERVAL", "soon", "invalid digit"),
        ("OTEL_RESOURCE_ATTRIBUTES", "a", "entry 1 is not NAME=VALUE"),
        (
            "OTEL_TRACES_SAMPLER",
            "jaeger_remote",
            "set always_on, always_off or traceidratio",
        ),
    ] {
        let errors = exporting(&[(name, value)]).unwrap_err();
        assert!(errors.0.iter().all(|error| error.variable == name), "{errors}");
        let errors = errors.to_string();
        assert!(errors.contains(part), "{name}={value}: {errors}");
        assert!(!errors.contains("hunter2"), "{errors}");
    }
    let share = [
        ("OTEL_TRACES_SAMPLER", "traceidratio"),
        ("OTEL_TRACES_SAMPLER_ARG", "1.5"),
    ];
    let errors = exporting(&share).unwrap_err().to_string();
    assert_eq!(errors, "OTEL_TRACES_SAMPLER_ARG must be a share, 0 to 1");
}
