//! What was found for a condition, and the conditions that need it.

/// What was found for a condition, where it holds.
#[derive(Debug, Clone, Copy)]
pub struct Finding<T> {
    /// The condition that it was found for; where there is none, the one that failed, so that nobody looked for this.
    condition: &'static str,
    found: Option<T>,
}

impl<T> Finding<T> {
    /// The condition holds.
    pub(super) fn held(condition: &'static str, found: T) -> Self {
        Self {
            condition,
            found: Some(found),
        }
    }

    /// There is none because `condition` does not hold, be it its own or one that it needs.
    pub(super) fn none(condition: &'static str) -> Self {
        Self {
            condition,
            found: None,
        }
    }

    /// The condition that holds.
    pub(super) fn holds(&self) -> Option<&'static str> {
        self.found.as_ref().map(|_| self.condition)
    }

    /// What was found; `None` where the condition does not hold, or nobody looked.
    pub fn value(&self) -> Option<&T> {
        self.found.as_ref()
    }

    /// The same finding with another value.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Finding<U> {
        Finding {
            condition: self.condition,
            found: self.found.map(change),
        }
    }

    /// As [`Finding::value`], given away.
    pub fn into_value(self) -> Option<T> {
        self.found
    }
}

/// The findings that a condition needs: none `()`, one, or several.
pub trait Needs {
    /// What was found for them.
    type Found;

    /// What was found, or the name of the condition that keeps one of them from being found.
    fn found(self) -> Result<Self::Found, &'static str>;
}

impl Needs for () {
    type Found = ();

    fn found(self) -> Result<(), &'static str> {
        Ok(())
    }
}

impl<'a, T> Needs for &'a Finding<T> {
    type Found = &'a T;

    fn found(self) -> Result<&'a T, &'static str> {
        self.found.as_ref().ok_or(self.condition)
    }
}

impl<A: Needs, B: Needs> Needs for (A, B) {
    type Found = (A::Found, B::Found);

    fn found(self) -> Result<Self::Found, &'static str> {
        Ok((self.0.found()?, self.1.found()?))
    }
}
