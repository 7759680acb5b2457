//! Flags and kubeconfigs, laid over each other.

use std::fs;

use super::super::user::By;
use super::*;

const KUBECONFIG: &str = r#"
apiVersion: v1
kind: Config
current-context: practice
clusters:
- {name: one, cluster: {server: "https://one.example:6443"}}
- {name: two, cluster: {server: "https://two.example:6443"}}
users:
- {name: admin, user: {token: abc}}
contexts:
- {name: practice, context: {cluster: one, user: admin, namespace: cpd}}
- {name: broken, context: {cluster: gone, user: admin}}
- {name: stale, context: {cluster: gone, user: left}}
- {name: anonymous, context: {cluster: one}}
- {name: nobody, context: {cluster: one, user: ""}}
"#;

fn load_with(change: impl FnOnce(&mut ConnectionOptions)) -> Result<Connection, ClusterError> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config");
    fs::write(&path, KUBECONFIG).unwrap();
    let mut options = ConnectionOptions {
        kubeconfig: Some(path),
        ..ConnectionOptions::default()
    };
    change(&mut options);
    load(&options)
}

fn message(loaded: Result<Connection, ClusterError>) -> String {
    match loaded {
        Ok(_) => panic!("loaded"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn the_context_gives_server_and_namespace_and_flags_win() {
    let source = load_with(|_| ()).unwrap();
    assert_eq!(source.server.url, "https://one.example:6443/");
    assert_eq!(source.namespace, "cpd");

    let source = load_with(|options| {
        options.cluster = Some("two".into());
        options.namespace = Some("other".into());
    })
    .unwrap();
    assert_eq!(source.server.url, "https://two.example:6443/");
    assert_eq!(source.namespace, "other");

    let source = load_with(|options| options.server = Some("three.example:443".into())).unwrap();
    assert_eq!(source.server.url, "http://three.example:443/");
}

#[test]
fn flags_hold_for_a_context_without_a_user() {
    for context in ["anonymous", "nobody"] {
        let source = load_with(|options| {
            options.context = Some(context.into());
            options.token = Some("t".into());
            options.impersonate = Some("alice".into());
            options.impersonate_uid = Some("7".into());
            options.impersonate_groups = vec!["ops".into()];
        })
        .unwrap();
        assert!(matches!(source.login.by, By::Header(_)), "{context}");
        assert_eq!(source.impersonation["impersonate-user"], "alice");
        assert_eq!(source.impersonation["impersonate-uid"], "7");
        assert_eq!(source.impersonation["impersonate-group"], "ops");
    }
    let text = message(load_with(|options| {
        options.impersonate_groups = vec!["ops".into()];
    }));
    assert!(text.contains("--as-group needs --as:"), "{text}");
    let text = message(load_with(|options| {
        options.impersonate_uid = Some("7".into());
    }));
    assert!(text.contains("--as-uid needs --as:"), "{text}");
}

#[test]
fn what_the_flags_give_is_not_missed_in_the_kubeconfig() {
    type Change = fn(&mut ConnectionOptions);
    let stale = |change: Change| {
        load_with(move |options| {
            options.context = Some("stale".into());
            options.server = Some("https://three.example".into());
            options.token = Some("t".into());
            change(options);
        })
    };
    let connection = stale(|_| ()).unwrap();
    assert_eq!(connection.server.url, "https://three.example/");
    assert!(matches!(connection.login.by, By::Header(_)));
    let missed: [(Change, &str); 4] = [
        (|options| options.server = None, "cluster \"gone\""),
        (
            |options| options.token = None,
            "user \"left\" does not exist",
        ),
        (
            |options| options.cluster = Some("named".into()),
            "cluster \"named\"",
        ),
        (
            |options| options.user = Some("named".into()),
            "user \"named\"",
        ),
    ];
    for (change, expected) in missed {
        let text = message(stale(change));
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn flags_hold_for_the_service_account_of_a_pod() {
    let mut config = Config::new("https://10.0.0.1:443".parse().unwrap());
    config.auth_info.token_file = Some("/token".to_owned());
    config.default_namespace = "cpd".to_owned();
    let options = ConnectionOptions {
        impersonate: Some("alice".into()),
        ..ConnectionOptions::default()
    };
    let entries = overlay(of_service_account(&config), &options).unwrap();
    assert_eq!(entries.user.impersonate.user, "alice");
    assert_eq!(entries.user.token_file, "/token");
    assert_eq!(entries.context.namespace, "cpd");
}

#[test]
fn an_empty_namespace_is_none_and_a_wrong_one_is_refused_before_it_is_in_a_url() {
    let source = load_with(|options| options.namespace = Some(String::new()));
    assert_eq!(source.unwrap().namespace, "cpd");
    for wrong in ["..", "a/b", "a?b", "A", "-a", "a%2f"] {
        let text = message(load_with(|options| options.namespace = Some(wrong.into())));
        assert!(text.contains("is not the name of a namespace"), "{text}");
    }
}

#[test]
fn a_certificate_authority_is_checked_against_even_where_the_kubeconfig_checks_nothing() {
    let options = ConnectionOptions {
        certificate_authority: Some("ca.crt".into()),
        server: Some("https://other.example".into()),
        ..ConnectionOptions::default()
    };
    let mut cluster = Cluster {
        insecure_skip_tls_verify: true,
        tls_server_name: "one.example".to_owned(),
        ..Cluster::default()
    };
    overlay_cluster(&mut cluster, &options).unwrap();
    assert!(!cluster.insecure_skip_tls_verify);
    assert_eq!(cluster.tls_server_name, "");
}

fn token(source: &Connection) -> &str {
    let By::Header(header) = &source.login.by else {
        panic!("no header");
    };
    header.to_str().unwrap()
}

#[test]
fn a_token_may_end_in_a_line_break_and_is_not_shown_when_it_is_none() {
    for given in ["t\n", "t\r\n", " t"] {
        let source = load_with(|options| options.token = Some(given.into()));
        assert_eq!(token(&source.unwrap()), "Bearer t");
    }
    let text = message(load_with(|options| {
        options.token = Some("hunter\n2".into());
    }));
    assert!(text.contains("or of --token holds characters"), "{text}");
    assert!(!text.contains("hunter"), "{text}");
}

#[test]
fn a_wrong_context_cluster_or_user_is_named_with_what_there_is() {
    let text = message(load_with(|options| options.context = Some("prod".into())));
    assert!(
        text.contains("\"prod\"") && text.contains("anonymous, broken, nobody, practice, stale"),
        "{text}"
    );
    let text = message(load_with(|options| options.context = Some("broken".into())));
    assert!(
        text.contains("\"gone\"") && text.contains("one, two"),
        "{text}"
    );
    let text = message(load_with(|options| options.user = Some("root".into())));
    assert!(
        text.contains("\"root\"") && text.contains("admin"),
        "{text}"
    );
}

#[test]
fn a_certificate_authority_and_no_verification_contradict_each_other() {
    let text = message(load_with(|options| {
        options.insecure_skip_tls_verify = Some(true);
        options.certificate_authority = Some("ca.crt".into());
    }));
    assert!(text.contains("--insecure-skip-tls-verify"), "{text}");
}

#[test]
fn empty_flags_are_as_if_they_were_not_given() {
    let source = load_with(|options| {
        let none = || Some(String::new());
        (
            options.context,
            options.cluster,
            options.user,
            options.server,
        ) = (none(), none(), none(), none());
        (options.impersonate, options.tls_server_name) = (none(), none());
        options.token = Some("".into());
        options.impersonate_groups = vec![String::new()];
        options.certificate_authority = Some(PathBuf::new());
        options.client_certificate = Some(PathBuf::new());
        options.client_key = Some(PathBuf::new());
    });
    let source = source.unwrap();
    assert_eq!(source.server.url, "https://one.example:6443/");
    assert_eq!(token(&source), "Bearer abc");
    assert!(source.impersonation.is_empty());
}

#[test]
fn nobody_is_asked_for_as_an_unknown_user() {
    let text = message(load_with(|options| {
        options.context = Some("anonymous".into());
    }));
    assert!(text.contains("has no credentials"), "{text}");
    // Without TLS nothing is sent that could be read on the way.
    let source = load_with(|options| options.server = Some("http://one.example".into())).unwrap();
    assert!(matches!(source.login.by, By::Nothing));
}
