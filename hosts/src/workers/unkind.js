// Makes the objects of this machine as unkind as Cloudflare's, for tests. config.rs says what can be set.

// Of each object, how many of its alarms have met with something.
const met = new Map();

// Whether this is one of the first `most` times for this object. They are counted beyond the life of an instance.
function isAmongFirst(most, what, { id }) {
  const key = `${what} ${id}`;
  const times = met.get(key) ?? 0;
  met.set(key, times + 1);
  return times < most;
}

export function settings(text) {
  const known = { evict: Infinity, rings: 1, lost: 0, throws: 0, ends: 0 };
  for (const setting of text.split(" ")) {
    const [name, value] = setting.split("=");
    if (!(name in known) || !(value > 0)) throw new Error(`ISOTHERM_UNKIND_OBJECTS: ${setting}`);
    known[name] = Number(value);
  }
  return known;
}

// A class of objects to which these things happen. `happened` is told of each.
export function unkind(Shard, { evict, rings, lost, throws, ends }, happened) {
  return class extends Shard {
    #ctx;
    #handled = 0;
    #underWay = 0;

    constructor(ctx, env) {
      super(ctx, env);
      this.#ctx = ctx;
    }

    fetch(request) {
      return this.#handle(() => super.fetch(request));
    }

    alarm() {
      return this.#handle(() => this.#ring(() => super.alarm()));
    }

    async #handle(answer) {
      this.#underWay += 1;
      try {
        return await answer();
      } finally {
        this.#underWay -= 1;
        this.#handled += 1;
        if (this.#handled >= evict && this.#underWay === 0) this.#ctx.waitUntil(this.#evict());
      }
    }

    // Waits until the answer is out. If the object has more to do by then, what ends last tries again.
    async #evict() {
      await this.#ctx.storage.sync();
      await scheduler.wait(5);
      if (this.#underWay === 0) this.#abort("shard/evicted");
    }

    async #ring(handler) {
      if (isAmongFirst(lost, "lost", this.#ctx)) {
        happened("shard/alarm-lost");
        return;
      }
      if (isAmongFirst(throws, "throws", this.#ctx)) {
        happened("shard/alarm-thrown");
        throw new Error("an unkind object throws instead of handling its alarm");
      }
      if (isAmongFirst(ends, "ends", this.#ctx)) await this.#endIn(handler);
      for (let ring = 0; ring < rings; ring += 1) await handler();
    }

    // Ends the object where its handler waits for its first alarm to be set. That alarm is on disk.
    async #endIn(handler) {
      const { storage } = this.#ctx;
      const { setAlarm } = storage;
      const alarmIsSet = new Promise((resolve, reject) => {
        storage.setAlarm = (...when) => {
          setAlarm.apply(storage, when).then(resolve, reject);
          return new Promise(() => {});
        };
      });
      await Promise.race([handler(), alarmIsSet]);
      await storage.sync();
      this.#abort("shard/alarm-ended");
    }

    #abort(what) {
      happened(what);
      this.#ctx.abort(what);
    }
  };
}
