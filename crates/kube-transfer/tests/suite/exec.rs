//! Sessions against scripted servers and recordings of a real cluster.

use std::{ops::ControlFlow, time::Duration};

use crate::support::{
    ApiServer, Behaviour, Step, Subprotocol, close, frame, recorded, refusal, target,
};
use kube_transfer::exec::{End, Lost, OpenError, Output, Session, StdinError, StreamOptions};
use tokio::time::{Instant, advance, pause};
use tokio_tungstenite::tungstenite::Message;

async fn open(subprotocol: Subprotocol, steps: Vec<Step>) -> Session {
    let server = ApiServer::start(Behaviour::Play(subprotocol, steps)).await;
    Session::open(
        &server.client(),
        &target(),
        ["true".to_owned()],
        &StreamOptions::default(),
    )
    .await
    .expect("the handshake succeeds")
}

/// Standard output, standard error, end.
async fn drain(session: &mut Session) -> (Vec<u8>, Vec<u8>, End) {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    loop {
        match session.next().await {
            ControlFlow::Continue(Output::Stdout(data)) => stdout.extend_from_slice(&data),
            ControlFlow::Continue(Output::Stderr(data)) => stderr.extend_from_slice(&data),
            ControlFlow::Break(end) => return (stdout, stderr, end),
        }
    }
}

async fn replay(name: &str) -> (Vec<u8>, Vec<u8>, End) {
    let (subprotocol, steps) = recorded(name);
    drain(&mut open(subprotocol, steps).await).await
}

/// How a stream ends that should be lost.
async fn lost(steps: Vec<Step>) -> Lost {
    match drain(&mut open(Subprotocol::V5, steps).await).await.2 {
        End::Lost(why) => why,
        other => panic!("{other:?} is not a lost stream"),
    }
}

#[tokio::test]
async fn output_is_told_apart_and_success_is_exit_code_zero() {
    let (stdout, stderr, end) = replay("exec-ok").await;
    assert_eq!(
        (stdout.as_slice(), stderr.as_slice()),
        (&b"out\n"[..], &b"err\n"[..])
    );
    assert!(matches!(end, End::Exited { code: 0 }), "{end:?}");
}

#[tokio::test]
async fn exit_codes_are_read_from_the_status() {
    let (stdout, _, end) = replay("exec-exit-3").await;
    assert_eq!(stdout, b"partial\n");
    assert!(matches!(end, End::Exited { code: 3 }), "{end:?}");
    let (_, _, end) = replay("exec-killed").await;
    assert!(matches!(end, End::Exited { code: 137 }), "{end:?}");
}

#[tokio::test]
async fn frames_of_all_recorded_sizes_arrive_whole() {
    let (stdout, _, end) = replay("exec-bulk-frame-sizes").await;
    assert_eq!(stdout, vec![b'x'; 300_000]);
    assert!(matches!(end, End::Exited { code: 0 }), "{end:?}");
}

#[tokio::test]
async fn a_command_that_does_not_exist_is_a_failure_in_the_servers_words() {
    let (_, _, end) = replay("exec-not-found").await;
    let End::Failed(failure) = end else {
        panic!("{end:?}")
    };
    assert!(
        failure
            .to_string()
            .contains("executable file not found in $PATH"),
        "{failure}"
    );
}

#[tokio::test]
async fn standard_input_is_closed_with_the_close_channel_of_v5() {
    let (subprotocol, steps) = recorded("exec-stdin-halfclose-v5");
    let mut session = open(subprotocol, steps).await;
    session.write_stdin(b"hello\n").await.expect("open");
    session.close_stdin().await.expect("v5 can");
    let (stdout, _, end) = drain(&mut session).await;
    assert_eq!(stdout, b"hello\n");
    assert!(matches!(end, End::Exited { code: 0 }), "{end:?}");
}

#[tokio::test]
async fn v4_cannot_close_standard_input_and_says_so() {
    let (subprotocol, steps) = recorded("exec-stdin-v4-no-halfclose");
    let mut session = open(subprotocol, steps).await;
    session.write_stdin(b"hello\n").await.expect("open");
    assert_eq!(session.close_stdin().await, Err(StdinError::NoHalfClose));
    let (stdout, _, end) = drain(&mut session).await;
    assert_eq!(stdout, b"hello\ndone\n");
    assert!(matches!(end, End::Exited { code: 0 }), "{end:?}");
}

#[tokio::test]
async fn refused_handshakes_keep_the_api_servers_words() {
    let cases = [
        ("exec-no-such-pod", 404, "pods \"nope\" not found"),
        (
            "exec-bad-container",
            400,
            "container nope is not valid for pod t",
        ),
        (
            "exec-forbidden",
            403,
            "cannot create resource \"pods/exec\"",
        ),
    ];
    for (name, code, words) in cases {
        let (status, body) = refusal(name);
        let server = ApiServer::start(Behaviour::Refuse { status, body }).await;
        let error = Session::open(
            &server.client(),
            &target(),
            ["true".to_owned()],
            &StreamOptions::default(),
        )
        .await
        .err()
        .expect("refused");
        assert!(!error.is_transient(), "{name}");
        let OpenError::Refused { cause, .. } = error else {
            panic!("{name}: {error}")
        };
        let kube::Error::Api(status) = *cause else {
            panic!("{name}: {cause}")
        };
        assert_eq!(status.code, code);
        assert!(status.message.contains(words), "{name}: {}", status.message);
    }
}

#[tokio::test]
async fn names_that_would_lead_elsewhere_in_a_url_are_refused_unsent() {
    let server = ApiServer::start(Behaviour::Ignore).await;
    for name in [
        "",
        "..",
        "../secrets/x",
        "a/b",
        "a?b",
        "a%2fb",
        "A",
        "a b",
        "-a",
    ] {
        let mut elsewhere = target();
        elsewhere.pod = name.to_owned();
        let error = Session::open(
            &server.client(),
            &elsewhere,
            ["true".to_owned()],
            &StreamOptions::default(),
        )
        .await
        .err();
        assert!(
            matches!(error, Some(OpenError::InvalidName { .. })),
            "{name}: {error:?}"
        );
    }
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn an_overloaded_server_is_a_temporary_refusal_and_is_asked_once() {
    let server = ApiServer::start(Behaviour::Refuse {
        status: 503,
        body: "busy".to_owned(),
    })
    .await;
    let begin = Instant::now();
    let error = Session::open(
        &server.client(),
        &target(),
        ["true".to_owned()],
        &StreamOptions::default(),
    )
    .await
    .err()
    .expect("refused");
    assert!(error.is_transient(), "{error}");
    assert!(
        begin.elapsed() < Duration::from_secs(1),
        "the request was repeated in silence"
    );
}

#[tokio::test]
async fn a_handshake_that_is_never_answered_times_out() {
    let server = ApiServer::start(Behaviour::Ignore).await;
    let options = StreamOptions::default().with_open_timeout(Duration::from_millis(50));
    let error = Session::open(&server.client(), &target(), ["true".to_owned()], &options)
        .await
        .err();
    assert!(
        matches!(error, Some(OpenError::TimedOut { .. })),
        "{error:?}"
    );
}

#[tokio::test]
async fn every_end_without_a_status_is_lost_and_says_why() {
    let why = lost(vec![frame(1, b"data"), close()]).await;
    assert!(matches!(why, Lost::Closed { code: 1000, .. }), "{why:?}");
    let why = lost(vec![frame(1, b"data"), Step::Send(Message::Close(None))]).await;
    assert!(matches!(why, Lost::Closed { code: 1005, .. }), "{why:?}");
    let why = lost(vec![frame(1, b"data")]).await;
    assert!(matches!(why, Lost::Eof), "{why:?}");
    let why = lost(vec![Step::Raw(
        b"\x82\x7e\x10\x00\x01half a frame".to_vec(),
    )])
    .await;
    assert!(matches!(why, Lost::Eof), "{why:?}");
    let why = lost(vec![Step::Reset]).await;
    assert!(matches!(why, Lost::Broken(_) | Lost::Eof), "{why:?}");
    let why = lost(vec![frame(3, b"{\"status\":\"Succ")]).await;
    assert!(matches!(why, Lost::BadStatus(_)), "{why:?}");
    let why = lost(vec![frame(7, b"data")]).await;
    assert!(matches!(why, Lost::UnknownChannel(7)), "{why:?}");
    let why = lost(vec![Step::Send(Message::Text("data".into()))]).await;
    assert!(matches!(why, Lost::Unexpected(_)), "{why:?}");
    let why = lost(vec![Step::Send(Message::Binary(Vec::new().into()))]).await;
    assert!(matches!(why, Lost::Unexpected(_)), "{why:?}");
    let why = lost(vec![Step::Raw(
        b"HTTP/1.1 502 Bad Gateway\r\n\r\n".repeat(9),
    )])
    .await;
    assert!(matches!(why, Lost::Protocol(_)), "{why:?}");
}

#[tokio::test]
async fn a_frame_is_refused_by_its_announced_size_before_it_is_received() {
    let mut header = vec![0x82, 127];
    header.extend_from_slice(&(1_u64 << 40).to_be_bytes());
    let why = lost(vec![Step::Raw(header), Step::Listen]).await;
    assert!(
        matches!(why, Lost::Oversized { bytes, .. } if bytes == 1 << 40),
        "{why:?}"
    );
}

#[tokio::test]
async fn a_message_in_endless_fragments_is_refused_at_the_size_limit() {
    let fragment = |first: bool| {
        let mut raw = vec![if first { 0x02 } else { 0x00 }, 126, 0xff, 0xff];
        raw.resize(raw.len() + 0xffff, 1);
        Step::Raw(raw)
    };
    let steps = (0..17)
        .map(|index| fragment(index == 0))
        .chain([Step::Listen])
        .collect();
    let why = lost(steps).await;
    assert!(matches!(why, Lost::Oversized { .. }), "{why:?}");
}

#[tokio::test]
async fn a_peer_that_falls_silent_is_dead_after_the_limit() {
    let mut session = open(Subprotocol::V5, vec![frame(1, b"data"), Step::Freeze]).await;
    assert!(session.next().await.is_continue());
    pause();
    let begin = Instant::now();
    let (_, _, end) = drain(&mut session).await;
    assert!(matches!(end, End::Lost(Lost::Silent { .. })), "{end:?}");
    assert_eq!(begin.elapsed().as_secs(), 15);
}

#[tokio::test]
async fn pongs_keep_a_quiet_command_alive() {
    // Nothing but pongs can come from the listening server, for an hour.
    let mut session = open(Subprotocol::V5, vec![frame(1, b"data"), Step::Listen]).await;
    assert!(session.next().await.is_continue());
    pause();
    let quiet = tokio::time::timeout(Duration::from_hours(1), session.next()).await;
    assert!(quiet.is_err(), "{quiet:?}");
}

#[tokio::test]
async fn every_byte_of_an_unfinished_frame_counts_as_life() {
    let mut steps = vec![frame(1, b"data"), Step::Raw(vec![0x82, 7, 1])];
    for byte in b"slowly" {
        steps.extend([Step::Sleep(Duration::from_secs(10)), Step::Raw(vec![*byte])]);
    }
    steps.push(Step::Freeze);
    let mut session = open(Subprotocol::V5, steps).await;
    assert!(session.next().await.is_continue());
    pause();
    assert_eq!(
        session.next().await.continue_value(),
        Some(Output::Stdout("slowly".into()))
    );
}

#[tokio::test]
async fn the_clock_of_silence_stands_still_while_nobody_reads() {
    let mut session = open(
        Subprotocol::V5,
        vec![
            frame(1, b"data"),
            Step::Sleep(Duration::from_secs(70)),
            frame(1, b"more"),
            Step::Freeze,
        ],
    )
    .await;
    assert!(session.next().await.is_continue());
    pause();
    // A slow disk keeps the reader away for a minute; the peer is silent for ten seconds more.
    advance(Duration::from_mins(1)).await;
    assert_eq!(
        session.next().await.continue_value(),
        Some(Output::Stdout("more".into()))
    );
}
