//! Flags and kubeconfigs, laid over each other.

use std::fs;

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

fn load_with(change: impl FnOnce(&mut ConnectionArgs)) -> Result<Source, ClusterError> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config");
    fs::write(&path, KUBECONFIG).unwrap();
    let mut args = ConnectionArgs {
        kubeconfig: Some(path),
        ..ConnectionArgs::default()
    };
    change(&mut args);
    load(&args)
}

fn message(loaded: Result<Source, ClusterError>) -> String {
    match loaded {
        Ok(_) => panic!("loaded"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn the_context_gives_server_and_namespace_and_flags_win() {
    let source = load_with(|_| ()).unwrap();
    assert_eq!(source.config.cluster_url, "https://one.example:6443/");
    assert_eq!(source.config.default_namespace, "cpd");

    let source = load_with(|args| {
        args.cluster = Some("two".into());
        args.namespace = Some("other".into());
    })
    .unwrap();
    assert_eq!(source.config.cluster_url, "https://two.example:6443/");
    assert_eq!(source.config.default_namespace, "other");

    let source = load_with(|args| args.server = Some("three.example:443".into())).unwrap();
    assert_eq!(source.config.cluster_url, "https://three.example:443/");
}

#[test]
fn flags_hold_for_a_context_without_a_user() {
    for context in ["anonymous", "nobody"] {
        let source = load_with(|args| {
            args.context = Some(context.into());
            args.token = Some("t".into());
            args.impersonate = Some("alice".into());
            args.impersonate_groups = vec!["ops".into()];
        })
        .unwrap();
        let user = source.config.auth_info;
        assert!(user.token.is_some(), "{context}");
        assert_eq!(user.impersonate.as_deref(), Some("alice"));
    }
    let text = message(load_with(|args| {
        args.impersonate_groups = vec!["ops".into()];
    }));
    assert!(text.contains("--as"), "{text}");
}

#[test]
fn what_the_flags_give_is_not_missed_in_the_kubeconfig() {
    type Change = fn(&mut ConnectionArgs);
    let stale = |change: Change| {
        load_with(move |args| {
            args.context = Some("stale".into());
            args.server = Some("https://three.example".into());
            args.token = Some("t".into());
            change(args);
        })
    };
    let config = stale(|_| ()).unwrap().config;
    assert_eq!(config.cluster_url, "https://three.example/");
    assert!(config.auth_info.token.is_some());
    let missed: [(Change, &str); 4] = [
        (|args| args.server = None, "cluster \"gone\""),
        (|args| args.token = None, "user \"left\""),
        (
            |args| args.cluster = Some("named".into()),
            "cluster \"named\"",
        ),
        (|args| args.user = Some("named".into()), "user \"named\""),
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
    let args = ConnectionArgs {
        impersonate: Some("alice".into()),
        ..ConnectionArgs::default()
    };
    let entries = overlay(of_service_account(config), MADE_UP, &args).unwrap();
    assert_eq!(entries.user.impersonate.as_deref(), Some("alice"));
    assert_eq!(entries.user.token_file.as_deref(), Some("/token"));
    assert_eq!(entries.namespace.as_deref(), Some("cpd"));
}

#[test]
fn an_empty_namespace_is_none_and_a_wrong_one_is_refused_before_it_is_in_a_url() {
    let source = load_with(|args| args.namespace = Some(String::new()));
    assert_eq!(source.unwrap().config.default_namespace, "cpd");
    for wrong in ["..", "a/b", "a?b", "A", "-a", "a%2f"] {
        let text = message(load_with(|args| args.namespace = Some(wrong.into())));
        assert!(text.contains("is not the name of a namespace"), "{text}");
    }
}

#[test]
fn a_certificate_authority_is_checked_against_even_where_the_kubeconfig_checks_nothing() {
    let args = ConnectionArgs {
        certificate_authority: Some("ca.crt".into()),
        server: Some("https://other.example".into()),
        ..ConnectionArgs::default()
    };
    let mut cluster = ClusterEntry {
        insecure_skip_tls_verify: Some(true),
        tls_server_name: Some("one.example".to_owned()),
        ..ClusterEntry::default()
    };
    overlay_cluster(&mut cluster, &args).unwrap();
    assert_eq!(cluster.insecure_skip_tls_verify, None);
    assert_eq!(cluster.tls_server_name, None);
}

#[test]
fn a_token_file_may_end_in_a_line_break() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("token");
    for (content, inlined) in [("t\n", true), ("t", false)] {
        fs::write(&path, content).unwrap();
        let mut user = AuthInfo {
            token_file: Some(text(&path)),
            ..AuthInfo::default()
        };
        trim_token_file(&mut user);
        assert_eq!(user.token.is_some(), inlined);
    }
}

fn token(source: &Source) -> &str {
    let token = source.config.auth_info.token.as_ref();
    token.map(SecretString::expose_secret).unwrap()
}

#[test]
fn a_token_may_end_in_a_line_break_and_is_not_shown_when_it_is_none() {
    for given in ["t\n", "t\r\n", " t"] {
        let source = load_with(|args| args.token = Some(given.into()));
        assert_eq!(token(&source.unwrap()), "t");
    }
    let text = message(load_with(|args| args.token = Some("hunter\n2".into())));
    assert!(text.contains("the token holds characters"), "{text}");
    assert!(!text.contains("hunter"), "{text}");
}

#[test]
fn streams_are_not_cut_and_requests_not_repeated_by_the_library() {
    let config = load_with(|_| ()).unwrap().config;
    assert_eq!(config.read_timeout, None);
    assert_eq!(config.write_timeout, None);
    assert!(!config.default_retry);
}

#[test]
fn a_wrong_context_cluster_or_user_is_named_with_what_there_is() {
    let text = message(load_with(|args| args.context = Some("prod".into())));
    assert!(
        text.contains("\"prod\"") && text.contains("practice, broken, stale"),
        "{text}"
    );
    let text = message(load_with(|args| args.context = Some("broken".into())));
    assert!(
        text.contains("\"gone\"") && text.contains("one, two"),
        "{text}"
    );
    let text = message(load_with(|args| args.user = Some("root".into())));
    assert!(
        text.contains("\"root\"") && text.contains("admin"),
        "{text}"
    );
}

#[test]
fn a_certificate_authority_and_no_verification_contradict_each_other() {
    let text = message(load_with(|args| {
        args.insecure_skip_tls_verify = Some(true);
        args.certificate_authority = Some("ca.crt".into());
    }));
    assert!(text.contains("--insecure-skip-tls-verify"), "{text}");
}
