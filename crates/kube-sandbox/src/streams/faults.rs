//! Streams that fail on purpose: what happens to the bytes of stdout on their way to the client.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;

use crate::faults::Effect;

/// What is to happen to one stream.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// What happens after how many bytes, soonest first.
    triggers: VecDeque<(u64, Trigger)>,
    bytes_per_second: Option<u64>,
    hold_back: HoldBack,
    sent: u64,
}

/// What happens to a stream at a certain byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trigger {
    /// The connection breaks.
    Cut,
    /// The protocol's proper end, but no status before it.
    CloseWithoutStatus,
    /// Nothing more comes, not even a pong.
    Stall,
    /// The pod is deleted at once.
    DeletePod,
}

/// A piece of stdout to send, or what happens before the next one.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    Send(Bytes),
    Fire(Trigger),
}

impl Plan {
    pub(super) fn new(effects: &[Effect]) -> Self {
        let mut plan = Self::default();
        let mut triggers = Vec::new();
        for effect in effects {
            match *effect {
                Effect::CutAfter { bytes } => triggers.push((bytes, Trigger::Cut)),
                Effect::CloseWithoutStatus { after_bytes } => {
                    triggers.push((after_bytes, Trigger::CloseWithoutStatus));
                }
                Effect::StallAfter { bytes } => triggers.push((bytes, Trigger::Stall)),
                Effect::DeletePodAfter { bytes } => triggers.push((bytes, Trigger::DeletePod)),
                Effect::Throttle { bytes_per_second } => {
                    plan.bytes_per_second = Some(bytes_per_second.max(1));
                }
                Effect::ShortenStdout { bytes } => plan.hold_back.bytes = bytes,
                _ => {}
            }
        }
        triggers.sort_by_key(|(after, _)| *after);
        plan.triggers = triggers.into();
        plan
    }

    /// Whether anything is to happen at all; if not, bytes need not come by here.
    pub(super) fn is_active(&self) -> bool {
        !self.triggers.is_empty() || self.bytes_per_second.is_some() || self.hold_back.bytes > 0
    }

    /// What has to happen before anything is sent.
    pub(super) fn begin(&mut self) -> Vec<Step> {
        let mut steps = Vec::new();
        self.fire(&mut steps);
        steps
    }

    /// What to do with the next bytes of stdout.
    pub(super) fn steps(&mut self, bytes: Bytes) -> Vec<Step> {
        let mut steps = Vec::new();
        for mut bytes in self.hold_back.pass(bytes) {
            while !bytes.is_empty() {
                let until_trigger = self
                    .triggers
                    .front()
                    .map_or(u64::MAX, |(after, _)| after - self.sent);
                let length = until_trigger
                    .min(self.longest_piece())
                    .min(bytes.len() as u64);
                // No more than the bytes there are, so it fits.
                let piece = bytes.split_to(usize::try_from(length).unwrap_or(bytes.len()));
                self.sent += piece.len() as u64;
                steps.push(Step::Send(piece));
                self.fire(&mut steps);
            }
        }
        steps
    }

    /// How long a piece takes on a slow line.
    pub(super) fn delay(&self, bytes: usize) -> Option<Duration> {
        let per_second = self.bytes_per_second?;
        let micros = (bytes as u64).saturating_mul(1_000_000) / per_second;
        Some(Duration::from_micros(micros))
    }

    fn fire(&mut self, steps: &mut Vec<Step>) {
        while let Some((_, trigger)) = self.triggers.pop_front_if(|(after, _)| *after <= self.sent)
        {
            steps.push(Step::Fire(trigger));
        }
    }

    /// On a slow line bytes trickle, ten times a second, instead of coming in rare lumps.
    fn longest_piece(&self) -> u64 {
        self.bytes_per_second
            .map_or(u64::MAX, |per_second| (per_second / 10).max(1))
    }
}

/// Keeps the last bytes back, so that they can be lost.
#[derive(Debug, Default)]
struct HoldBack {
    bytes: u64,
    held: VecDeque<Bytes>,
    held_bytes: u64,
}

impl HoldBack {
    /// Takes bytes in and gives those that are certainly not among the last ones.
    fn pass(&mut self, bytes: Bytes) -> Vec<Bytes> {
        self.held_bytes += bytes.len() as u64;
        self.held.push_back(bytes);
        let mut passed = Vec::new();
        while self.held_bytes > self.bytes
            && let Some(mut first) = self.held.pop_front()
        {
            let length = (self.held_bytes - self.bytes).min(first.len() as u64);
            let piece = first.split_to(usize::try_from(length).unwrap_or(first.len()));
            self.held_bytes -= piece.len() as u64;
            passed.push(piece);
            if !first.is_empty() {
                self.held.push_front(first);
            }
        }
        passed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(effects: &[Effect], chunks: &[&'static [u8]]) -> Vec<Step> {
        let mut plan = Plan::new(effects);
        let mut steps = plan.begin();
        for chunk in chunks {
            steps.extend(plan.steps(Bytes::from_static(chunk)));
        }
        steps
    }

    fn send(bytes: &'static [u8]) -> Step {
        Step::Send(Bytes::from_static(bytes))
    }

    #[test]
    fn without_faults_bytes_pass_unchanged() {
        assert_eq!(run(&[], &[b"abc", b"de"]), [send(b"abc"), send(b"de")]);
    }

    #[test]
    fn a_trigger_fires_at_its_very_byte_wherever_the_chunks_end() {
        let cut = [Effect::CutAfter { bytes: 3 }];
        let fired = Step::Fire(Trigger::Cut);
        assert_eq!(
            run(&cut, &[b"abcde"])[..2],
            [send(b"abc"), Step::Fire(Trigger::Cut)]
        );
        assert_eq!(
            run(&cut, &[b"abc"]),
            [send(b"abc"), Step::Fire(Trigger::Cut)]
        );
        assert_eq!(
            run(&cut, &[b"ab", b"cd"]),
            [send(b"ab"), send(b"c"), fired, send(b"d")]
        );
        assert_eq!(run(&cut, &[b"ab"]), [send(b"ab")]);
    }

    #[test]
    fn a_trigger_at_zero_fires_before_any_byte() {
        assert_eq!(
            run(&[Effect::StallAfter { bytes: 0 }], &[]),
            [Step::Fire(Trigger::Stall)]
        );
    }

    #[test]
    fn shortening_loses_exactly_the_last_bytes() {
        let shorten = [Effect::ShortenStdout { bytes: 4 }];
        let sent: Vec<u8> = run(&shorten, &[b"abc", b"d", b"efgh", b"ij"])
            .into_iter()
            .flat_map(|step| match step {
                Step::Send(bytes) => bytes.to_vec(),
                Step::Fire(_) => Vec::new(),
            })
            .collect();
        assert_eq!(sent, b"abcdef");
        assert_eq!(run(&shorten, &[b"abc"]), []);
    }

    #[test]
    fn a_slow_line_sends_small_pieces() {
        let steps = run(
            &[Effect::Throttle {
                bytes_per_second: 20,
            }],
            &[b"abc"],
        );
        assert_eq!(steps, [send(b"ab"), send(b"c")]);
        let plan = Plan::new(&[Effect::Throttle {
            bytes_per_second: 20,
        }]);
        assert_eq!(plan.delay(2), Some(Duration::from_millis(100)));
    }
}
