// What a new isolate runs: the artifact, which it answers with, and a way to learn that it is ready.
import { WorkerEntrypoint } from "cloudflare:workers";
import Artifact from "./index.js";

export class Instance extends WorkerEntrypoint {
  ready() {}
}

// A namespace can't be handed to an isolate that was made on demand; what asks for its objects by name can.
class DurableObjectNamespace {
  constructor(shards) {
    this.shards = shards;
  }
  getByName(name) {
    return { fetch: (request) => this.shards.fetchFrom(name, request) };
  }
}

export default class extends Artifact {
  constructor(ctx, env) {
    super(ctx, env.SHARDS ? { ...env, SHARDS: new DurableObjectNamespace(env.SHARDS) } : env);
  }
}
