// The artifact, and beside it what its Durable Objects are billed for: their requests and alarms, and the rows that their
// statements read and wrote, by the counters of workerd's own cursors. Requests to the artifact go by none of this.
import { WorkerEntrypoint, env as bindings } from "cloudflare:workers";
import Artifact, { Shard as ArtifactShard } from "./index.js";
import { settings, unkind } from "./unkind.js";

const functions = {};
const rows = {};

const rowsOf = (table) => (rows[table] ??= { read: 0, written: 0 });

const TABLE = /\b(?:FROM|INTO|UPDATE) (blocks|runs|events|rollups)\b/;

// Counts a statement's rows once they have been read: when the object begins another, or has answered.
class Statements {
  constructor(storage) {
    const { sql } = storage;
    const { exec } = sql;
    sql.exec = (statement, ...bindings) => {
      this.settle();
      const cursor = exec.call(sql, statement, ...bindings);
      this.last = { table: TABLE.exec(statement)?.[1] ?? "others", cursor };
      return cursor;
    };
    const { setAlarm } = storage;
    storage.setAlarm = (...when) => {
      rowsOf("alarms").written += 1; // as it is billed
      return setAlarm.apply(storage, when);
    };
  }

  settle() {
    if (!this.last) return;
    const { table, cursor } = this.last;
    rowsOf(table).read += cursor.rowsRead;
    rowsOf(table).written += cursor.rowsWritten;
    this.last = undefined;
  }
}

const statements = new WeakMap();

async function counted(shard, name, answer) {
  const begun = performance.now();
  try {
    return await answer();
  } finally {
    const invocations = (functions[name] ??= { count: 0, ms: 0 });
    invocations.count += 1;
    invocations.ms += performance.now() - begun;
    statements.get(shard).settle();
  }
}

class MeteredShard extends ArtifactShard {
  constructor(ctx, env) {
    const counting = new Statements(ctx.storage);
    super(ctx, env);
    counting.settle();
    statements.set(this, counting);
  }

  fetch(request) {
    return counted(this, "shard/fetch", () => super.fetch(request));
  }

  alarm() {
    return counted(this, "shard/alarm", () => super.alarm());
  }
}

function happened(what) {
  (functions[what] ??= { count: 0, ms: 0 }).count += 1;
}

const { ISOTHERM_UNKIND_OBJECTS: unkindness } = bindings;
export const Shard = unkindness ? unkind(MeteredShard, settings(unkindness), happened) : MeteredShard;

export class Meters extends WorkerEntrypoint {
  fetch() {
    return Response.json({ functions, rows });
  }
}

export default Artifact;
