//! Rollups that came from another service, on their way into a store.

use crate::rollups::stored::StoredPage;
use crate::vocabulary::id::RequestId;
use crate::vocabulary::rejection::Rejection;
use crate::vocabulary::reply::Reply;
use crate::vocabulary::tenant::Tenant;

/// Keep pages of one tenant that came from another service. Each replaces what is stored under its key, so to keep them
/// twice does no harm. No fold and no compaction writes under these keys, so no watermark is asked.
#[must_use = "a plan that is neither applied nor answered leaves its client without an answer"]
#[derive(Debug)]
pub struct ImportPlan {
    pub(crate) tenant: Tenant,
    pub(crate) request_id: RequestId,
    /// Each page with the day that it belongs to, since 1970.
    pub(crate) pages: Vec<(u32, StoredPage)>,
}

impl ImportPlan {
    /// The tenant of the pages.
    pub fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    /// The id of the request, as its answer shows it.
    pub fn request_id(&self) -> RequestId {
        self.request_id
    }

    /// The pages.
    pub fn pages(&self) -> impl Iterator<Item = &StoredPage> {
        self.pages.iter().map(|(_, page)| page)
    }

    /// The pages for one of `shards` shards. A day's pages and its manifest are kept together.
    pub fn of_shard(&self, shard: u32, shards: u32) -> Vec<StoredPage> {
        let is_here = |(day, _): &&(u32, StoredPage)| day % shards.max(1) == shard;
        self.pages.iter().filter(is_here).map(|(_, page)| page.clone()).collect()
    }

    /// The reply. `is_done` is true once all pages are durable.
    pub fn respond(self, is_done: bool) -> Reply {
        if is_done { Reply::ok() } else { Rejection::Unavailable.reply(self.request_id) }
    }
}
