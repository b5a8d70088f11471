// Answers each request by a new isolate of the artifact, and tells its client when that was ready and when it answered:
// the body is two lines, `ready` and the status code, each sent when it happened. Time is taken by the client.
import { WorkerEntrypoint } from "cloudflare:workers";
import index from "artifact/index.js";
import wasm from "artifact/index_bg.wasm";
import instance from "instance.js";

// The objects of the service beside this one.
export class Shards extends WorkerEntrypoint {
  fetchFrom(name, request) {
    return this.env.SHARDS.getByName(name).fetch(request);
  }
}

// V8 compiles equal modules of one process once. A custom section `cold` with the isolate's number makes each another.
const section = [0, 9, 4, 0x63, 0x6f, 0x6c, 0x64];
const module = new Uint8Array(wasm.byteLength + section.length + 4);
module.set(new Uint8Array(wasm));
module.set(section, wasm.byteLength);
const number = new DataView(module.buffer, module.length - 4);

let isolates = 0;

function code(env, ctx) {
  number.setUint32(0, ++isolates);
  const bindings = { ISOTHERM_CONFIG: env.ISOTHERM_CONFIG };
  if (env.SHARDS) bindings.SHARDS = ctx.exports.Shards({});
  return {
    compatibilityDate: env.COMPATIBILITY_DATE,
    mainModule: "instance.js",
    modules: { "instance.js": instance, "index.js": index, "index_bg.wasm": { wasm: module } },
    env: bindings,
    globalOutbound: null,
  };
}

async function answer(request, isolate, writer) {
  const line = (text) => writer.write(new TextEncoder().encode(`${text}\n`));
  await isolate.getEntrypoint("Instance").ready();
  await line("ready");
  // Until the event loop has sent that: else it would go out with the next line.
  await scheduler.wait(0);
  const response = await isolate.getEntrypoint().fetch(request);
  await line(response.status);
  await response.arrayBuffer();
}

export default {
  fetch(request, env, ctx) {
    const { readable, writable } = new IdentityTransformStream();
    const writer = writable.getWriter();
    const isolate = env.LOADER.load(code(env, ctx));
    const failed = (error) => {
      console.error(error.stack ?? error);
      return writer.abort(error);
    };
    ctx.waitUntil(answer(request, isolate, writer).then(() => writer.close(), failed));
    return new Response(readable);
  },
};
