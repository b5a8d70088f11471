//! DynamoDB's table of rollups: queries of ranges, and transactions under conditions.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::rc::Rc;

use crate::world::World;

/// What DynamoDB takes in one transaction, and as one item.
const ACTIONS: usize = 100;
const TRANSACTION: usize = 4 << 20;
const ITEM: usize = 400 << 10;

/// Items by partition key and sort key.
#[derive(Clone)]
pub(crate) struct Rollups {
    world: Rc<World>,
    items: BTreeMap<(String, String), Vec<u8>>,
}

/// One action of a transaction.
#[derive(Debug)]
pub(crate) struct Action {
    pub(crate) key: (String, String),
    pub(crate) condition: Condition,
    /// What is put there; `None`: what is there is deleted.
    pub(crate) bytes: Option<Vec<u8>>,
}

/// What has to be there.
#[derive(Debug)]
pub(crate) enum Condition {
    Anything,
    Nothing,
    This(Vec<u8>),
}

impl Rollups {
    pub(crate) fn new(world: &Rc<World>) -> Self {
        Self { world: Rc::clone(world), items: BTreeMap::new() }
    }

    /// `Query`: sort keys and pages between two sort keys, which both are among them.
    pub(crate) fn query(&self, partition: &str, from: &str, until: &str) -> Vec<(String, Vec<u8>)> {
        let key = |sort: &str| Bound::Included((partition.to_owned(), sort.to_owned()));
        let found = self.items.range((key(from), key(until)));
        found.map(|((_, sort), bytes)| (sort.clone(), bytes.clone())).collect()
    }

    /// `TransactWriteItems`: whether all conditions were met.
    pub(crate) fn transact(&mut self, actions: Vec<Action>) -> bool {
        let size =
            |action: &Action| action.key.0.len() + action.key.1.len() + action.bytes.as_ref().map_or(0, Vec::len);
        let (bytes, most) = (actions.iter().map(size).sum::<usize>(), actions.iter().map(size).max());
        let keys: BTreeSet<_> = actions.iter().map(|action| &action.key).collect();
        if actions.len() > ACTIONS || bytes > TRANSACTION || most > Some(ITEM) || keys.len() < actions.len() {
            let (actions, keys) = (actions.len(), keys.len());
            self.world.violated(format!("a transaction of {actions} actions on {keys} keys with {bytes} bytes"));
        }
        let is_met = |Action { key, condition, .. }: &Action| match (condition, self.items.get(key)) {
            (Condition::Anything, _) | (Condition::Nothing, None) => true,
            (Condition::This(bytes), Some(stored)) => bytes == stored,
            (Condition::Nothing, Some(_)) | (Condition::This(_), None) => false,
        };
        if !actions.iter().all(is_met) {
            return false;
        }
        for Action { key, bytes, .. } in actions {
            match bytes {
                Some(bytes) => drop(self.items.insert(key, bytes)),
                None => drop(self.items.remove(&key)),
            }
        }
        true
    }

    /// Something writes over a page of a tenant. Whose, if there is one.
    pub(crate) fn damage(&mut self) -> Option<String> {
        let is_page = |partition: &str| partition.contains('#');
        let count = self.items.keys().filter(|(partition, _)| is_page(partition)).count();
        let place = self.world.below(count as u64) as usize;
        let mut pages = self.items.iter_mut().filter(|((partition, _), _)| is_page(partition));
        let ((partition, _), page) = pages.nth(place)?;
        *page = vec![0xff; 3];
        partition.split_once('#').map(|(tenant, _)| tenant.to_owned())
    }

    /// All items have these keys.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &(String, String)> {
        self.items.keys()
    }
}
