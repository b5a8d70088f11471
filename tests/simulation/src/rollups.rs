//! DynamoDB's table of rollups: queries of ranges, and transactions under conditions.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::rc::Rc;

use crate::world::World;

/// DynamoDB's limits for one transaction and one item.
const ACTIONS: usize = 100;
const TRANSACTION: usize = 4 << 20;
const ITEM: usize = 400 << 10;

/// Items by partition key, and by sort key.
#[derive(Clone)]
pub(crate) struct Rollups {
    world: Rc<World>,
    items: BTreeMap<String, BTreeMap<String, Vec<u8>>>,
}

/// One action of a transaction.
#[derive(Debug)]
pub(crate) struct Action {
    pub(crate) key: (String, String),
    pub(crate) condition: Condition,
    /// The bytes to put. `None` deletes the item.
    pub(crate) bytes: Option<Vec<u8>>,
}

/// What the item must be before the action.
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

    /// `Query`: sort keys and pages from one sort key up to and including another.
    pub(crate) fn query<'a>(
        &'a self,
        partition: &str,
        from: &'a str,
        until: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        let items = self.items.get(partition).into_iter();
        let found = items.flat_map(move |items| items.range::<str, _>((Bound::Included(from), Bound::Included(until))));
        found.map(|(sort, bytes)| (sort.as_str(), bytes.as_slice()))
    }

    /// `TransactWriteItems`. Returns whether all conditions were met.
    pub(crate) fn transact(&mut self, actions: Vec<Action>) -> bool {
        let size =
            |action: &Action| action.key.0.len() + action.key.1.len() + action.bytes.as_ref().map_or(0, Vec::len);
        let (bytes, most) = (actions.iter().map(size).sum::<usize>(), actions.iter().map(size).max());
        let keys: BTreeSet<_> = actions.iter().map(|action| &action.key).collect();
        if actions.len() > ACTIONS || bytes > TRANSACTION || most > Some(ITEM) || keys.len() < actions.len() {
            let (actions, keys) = (actions.len(), keys.len());
            self.world.violated(format!("a transaction of {actions} actions on {keys} keys with {bytes} bytes"));
        }
        let is_met = |Action { key: (partition, sort), condition, .. }: &Action| {
            let stored = self.items.get(partition).and_then(|items| items.get(sort));
            match condition {
                Condition::Anything => true,
                Condition::Nothing => stored.is_none(),
                Condition::This(bytes) => stored == Some(bytes),
            }
        };
        if !actions.iter().all(is_met) {
            return false;
        }
        for Action { key: (partition, sort), bytes, .. } in actions {
            let items = self.items.entry(partition).or_default();
            match bytes {
                Some(bytes) => drop(items.insert(sort, bytes)),
                None => drop(items.remove(&sort)),
            }
        }
        true
    }

    /// Overwrites some page of a tenant. Returns the tenant, if there is a page.
    pub(crate) fn damage(&mut self) -> Option<String> {
        let count = self.items.keys().filter(|partition| partition.contains('#')).count();
        let place = self.world.below(count as u64) as usize;
        let (partition, pages) = self.items.iter_mut().filter(|(partition, _)| partition.contains('#')).nth(place)?;
        let page = self.world.below(pages.len() as u64) as usize;
        *pages.values_mut().nth(page)? = vec![0xff; 3];
        partition.split_once('#').map(|(tenant, _)| tenant.to_owned())
    }

    /// All partitions.
    pub(crate) fn partitions(&self) -> impl Iterator<Item = &str> {
        self.items.keys().map(String::as_str)
    }

    /// The number of items in a partition.
    pub(crate) fn count(&self, partition: &str) -> usize {
        self.items.get(partition).map_or(0, BTreeMap::len)
    }
}
