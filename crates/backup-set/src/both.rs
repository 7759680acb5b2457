//! Two that look at the rows of a dump while it is read once.

use pg_archive::{Row, TocEntry, Visitor};

/// Shows each of two visitors the tables that it wants.
pub(crate) struct Both<'a, A, B> {
    first: &'a mut A,
    second: &'a mut B,
    /// Who wants the table whose data is being read.
    wanted: (bool, bool),
}

impl<'a, A: Visitor, B: Visitor> Both<'a, A, B> {
    pub(crate) fn new(first: &'a mut A, second: &'a mut B) -> Self {
        Self {
            first,
            second,
            wanted: (false, false),
        }
    }
}

impl<A: Visitor, B: Visitor> Visitor for Both<'_, A, B> {
    fn wants(&mut self, table: &TocEntry) -> bool {
        self.wanted = (self.first.wants(table), self.second.wants(table));
        self.wanted.0 || self.wanted.1
    }

    fn row(&mut self, table: &TocEntry, row: &Row) {
        if self.wanted.0 {
            self.first.row(table, row);
        }
        if self.wanted.1 {
            self.second.row(table, row);
        }
    }

    fn large_row(&mut self, table: &TocEntry) {
        if self.wanted.0 {
            self.first.large_row(table);
        }
        if self.wanted.1 {
            self.second.large_row(table);
        }
    }
}
