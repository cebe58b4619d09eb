//! A connection to a store in a build without the feature `history`: there is none, for without
//! that feature nobody can say where a history is.

use super::options::Place;
use super::value::{StoreError, Value};

/// Where a database is; no value says so.
#[derive(Debug, Clone)]
pub(super) enum PostgresOptions {}

/// No connection.
#[derive(Debug)]
pub(super) enum Connection {}

/// No row of an answer.
#[derive(Debug)]
pub(super) enum Row {}

impl Connection {
    pub(super) async fn open(place: &Place) -> Result<Self, StoreError> {
        Self::connect(place).await
    }

    pub(super) async fn connect(_: &Place) -> Result<Self, StoreError> {
        Err(StoreError::Trouble("this program was built without the feature `history`".into()))
    }

    pub(super) async fn execute(&mut self, _: &str, _: &[Value]) -> Result<u64, StoreError> {
        match *self {}
    }

    pub(super) async fn fetch(&mut self, _: &str, _: &[Value]) -> Result<Vec<Row>, StoreError> {
        match *self {}
    }

    pub(super) async fn insert(
        &mut self,
        _: &str,
        _: &str,
        _: usize,
        _: &[Value],
    ) -> Result<(), StoreError> {
        match *self {}
    }

    pub(super) async fn begin(&mut self) -> Result<(), StoreError> {
        match *self {}
    }

    pub(super) async fn size(&mut self) -> Result<i64, StoreError> {
        match *self {}
    }

    pub(super) fn hex(&self, _: &str) -> String {
        match *self {}
    }

    pub(super) async fn close(self) {
        match self {}
    }
}

impl Row {
    pub(super) fn int(&self, _: usize) -> Result<i64, StoreError> {
        match *self {}
    }

    pub(super) fn maybe_int(&self, _: usize) -> Result<Option<i64>, StoreError> {
        match *self {}
    }

    pub(super) fn text(&self, _: usize) -> Result<String, StoreError> {
        match *self {}
    }

    pub(super) fn maybe_text(&self, _: usize) -> Result<Option<String>, StoreError> {
        match *self {}
    }

    pub(super) fn blob(&self, _: usize) -> Result<Vec<u8>, StoreError> {
        match *self {}
    }
}
