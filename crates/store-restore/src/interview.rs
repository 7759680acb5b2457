//! The questions which service instance becomes which, one for each of the backup: pgmig asks them when production is
//! down already, and without names.

use backup_set::ServiceInstance;
use wa_common::report::{printable, table};

use crate::mapping::{BadMapping, Mapping, Reason, named, to_yaml_of};

/// The questions, as far as they are answered.
#[derive(Debug)]
pub struct Interview {
    sources: Vec<ServiceInstance>,
    targets: Vec<ServiceInstance>,
    /// What is clear without a question.
    proposed: Mapping,
    /// The target of each source, in their order, as its place among the targets.
    answers: Vec<usize>,
}

impl Interview {
    /// About all instances of both sides, with what is `proposed` for them.
    pub fn new(proposed: Mapping) -> Self {
        let (mut sources, mut targets): (Vec<_>, Vec<_>) = proposed
            .pairs
            .iter()
            .map(|pair| (pair.source.clone(), pair.target.clone()))
            .unzip();
        sources.extend_from_slice(&proposed.sources_left);
        targets.extend_from_slice(&proposed.targets_left);
        for side in [&mut sources, &mut targets] {
            side.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
        }
        Self {
            sources,
            targets,
            proposed,
            answers: Vec::new(),
        }
    }

    /// The instances of the target with the numbers that they are answered by.
    pub fn targets(&self) -> String {
        let rows = self.targets.iter().enumerate().map(|(at, target)| {
            let text = |text: &Option<String>| text.clone().unwrap_or_default();
            let number = (at + 1).to_string();
            [
                number,
                target.id.clone(),
                named(target),
                text(&target.region),
            ]
        });
        table(&["NUMBER", "INSTANCE", "NAME", "REGION"], rows)
    }

    /// The next question; `None` when all are answered.
    pub fn question(&self) -> Option<String> {
        let source = self.sources.get(self.answers.len())?;
        let proposal = self.proposal().map_or_else(String::new, |(at, by)| {
            format!(" [{}: {}, {by}]", at + 1, named(&self.targets[at]))
        });
        Some(format!(
            "{} of {}: {} becomes{proposal}: ",
            self.answers.len() + 1,
            self.sources.len(),
            in_words(source)
        ))
    }

    /// Takes the answer to it: the number or the id of a target, or nothing for what is proposed. The error is what is
    /// wrong with the answer, for who is asked again.
    pub fn answer(&mut self, answer: &str) -> Result<(), String> {
        let at = match answer {
            "" => self.proposal().map(|(at, _)| at).ok_or_else(|| {
                "nothing is proposed here: type the number or the id of its target".to_owned()
            })?,
            answer => self.place_of(answer).ok_or_else(|| {
                format!(
                    "{:?} is neither a number from 1 to {} nor the id of an instance of the target",
                    printable(answer),
                    self.targets.len()
                )
            })?,
        };
        if let Some(taken) = self.answers.iter().position(|answer| *answer == at) {
            return Err(format!(
                "that is the target of {} already: each needs one of its own",
                in_words(&self.sources[taken])
            ));
        }
        self.answers.push(at);
        Ok(())
    }

    /// What the answers come to, held against both sides as a mapping file is.
    pub fn mapping(&self) -> Result<Mapping, BadMapping> {
        let pairs = self.sources.iter().zip(&self.answers);
        let pairs = pairs.map(|(source, at)| (source.id.as_str(), self.targets[*at].id.as_str()));
        let mut mapping = Mapping::read(&to_yaml_of(pairs), &self.sources, &self.targets)?;
        for pair in &mut mapping.pairs {
            pair.by = Reason::Entered;
        }
        Ok(mapping)
    }

    fn place_of(&self, answer: &str) -> Option<usize> {
        let mut targets = self.targets.iter();
        if let Some(at) = targets.position(|target| target.id.eq_ignore_ascii_case(answer)) {
            return Some(at);
        }
        let number: usize = answer.parse().ok()?;
        number.checked_sub(1).filter(|at| *at < self.targets.len())
    }

    /// What is clear for the instance in question, unless another one was given it.
    fn proposal(&self) -> Option<(usize, Reason)> {
        let source = self.sources.get(self.answers.len())?;
        let is_free = |at: &usize| !self.answers.contains(at);
        let clear = self.proposed.pairs.iter().find(|pair| {
            // Two rows of one id are one instance.
            pair.source.id == source.id
        });
        let proposed = clear.and_then(|pair| {
            let at = self.place_of(&pair.target.id)?;
            Some((at, pair.by))
        });
        if let Some((at, by)) = proposed.filter(|(at, _)| is_free(at)) {
            return Some((at, by));
        }
        let mut free = (0..self.targets.len()).filter(is_free);
        let only = free.next().filter(|_| free.next().is_none())?;
        (self.answers.len() + 1 == self.sources.len()).then_some((only, Reason::OnlyOneLeft))
    }
}

/// `0000…-0001 "Customer Care", us-south`
fn in_words(instance: &ServiceInstance) -> String {
    let region = instance
        .region
        .as_deref()
        .filter(|region| !region.is_empty());
    let region = region.map_or_else(String::new, |region| format!(", {}", printable(region)));
    format!("{} {}{region}", printable(&instance.id), named(instance))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(id: &str, name: &str) -> ServiceInstance {
        ServiceInstance {
            id: id.to_owned(),
            name: Some(name.to_owned()),
            region: Some("us-south".to_owned()),
            deleted: false,
        }
    }

    fn interview(sources: &[ServiceInstance], targets: &[ServiceInstance]) -> Interview {
        Interview::new(Mapping::propose(sources, targets))
    }

    #[test]
    fn what_is_clear_is_proposed_and_what_is_not_is_asked_by_number_or_id() {
        let sources = [one("a", "Care"), one("b", "HR"), one("c", "HR")];
        let targets = [one("x", "Care"), one("y", "HR"), one("z", "HR")];
        let mut interview = interview(&sources, &targets);
        assert!(interview.targets().contains("2        y          \"HR\""));
        assert_eq!(
            interview.question().unwrap(),
            "1 of 3: a \"Care\", us-south becomes [1: \"Care\", same name]: "
        );
        interview.answer("").unwrap();
        // Two of one name are never paired without a word.
        let question = "2 of 3: b \"HR\", us-south becomes: ";
        assert_eq!(interview.question().unwrap(), question);
        for (wrong, why) in [
            ("", "nothing is proposed"),
            ("1", "is the target of a \"Care\", us-south already"),
            ("0", "neither a number from 1 to 3"),
            ("4", "neither a number"),
            ("q\u{1b}", "\"q\\\\u{1b}\" is neither"),
        ] {
            let error = interview.answer(wrong).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
        interview.answer("Z").unwrap();
        assert_eq!(
            interview.question().unwrap(),
            "3 of 3: c \"HR\", us-south becomes [2: \"HR\", only one left]: "
        );
        interview.answer("").unwrap();
        assert_eq!(interview.question(), None);
        let mapping = interview.mapping().unwrap();
        let pairs = mapping.pairs.iter();
        let pairs: Vec<_> = pairs
            .map(|pair| {
                (
                    pair.source.id.as_str(),
                    pair.target.id.as_str(),
                    pair.by.to_string(),
                )
            })
            .collect();
        let entered = || "entered".to_owned();
        assert_eq!(
            pairs,
            [
                ("a", "x", entered()),
                ("b", "z", entered()),
                ("c", "y", entered())
            ]
        );
    }

    #[test]
    fn a_proposal_that_another_one_was_given_is_none_and_the_rest_is_erased() {
        let sources = [one("a", "Care"), one("b", "HR")];
        let targets = [one("x", "Care"), one("y", "HR"), one("z", "Other")];
        let mut interview = interview(&sources, &targets);
        interview.answer("2").unwrap();
        assert!(interview.question().unwrap().ends_with("becomes: "));
        interview.answer("3").unwrap();
        let mapping = interview.mapping().unwrap();
        assert_eq!(mapping.targets_left, [one("x", "Care")]);
    }

    #[test]
    fn answers_that_are_missing_are_no_mapping() {
        let sources = [one("a", "Care")];
        let interview = interview(&sources, &sources);
        assert!(interview.mapping().is_err());
    }
}
