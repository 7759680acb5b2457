//! What was found for a condition, and the conditions that need it.

/// What was found for a condition, where it holds.
#[derive(Debug, Clone, Copy)]
pub struct Finding<T>(Result<T, &'static str>);

impl<T> Finding<T> {
    pub(super) fn held(found: T) -> Self {
        Self(Ok(found))
    }

    /// The condition `name` does not hold.
    pub(super) fn failed(name: &'static str) -> Self {
        Self(Err(name))
    }

    /// What it needed did not hold, which is `because` of the first condition that failed.
    pub(super) fn skipped(because: &'static str) -> Self {
        Self(Err(because))
    }

    /// What was found; `None` where the condition does not hold, or nobody looked.
    pub fn value(&self) -> Option<&T> {
        self.0.as_ref().ok()
    }

    /// The same finding with another value.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Finding<U> {
        Finding(self.0.map(change))
    }

    /// As [`Finding::value`], given away.
    pub fn into_value(self) -> Option<T> {
        self.0.ok()
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
        self.0.as_ref().map_err(|because| *because)
    }
}

impl<A: Needs, B: Needs> Needs for (A, B) {
    type Found = (A::Found, B::Found);

    fn found(self) -> Result<Self::Found, &'static str> {
        Ok((self.0.found()?, self.1.found()?))
    }
}
