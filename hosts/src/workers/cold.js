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

// V8 compiles equal modules of one process once. A custom section with a number in it makes each module another one.
let made = 0;
function unseen() {
  const number = ++made;
  const section = [0, 9, 4, 0x63, 0x6f, 0x6c, 0x64, number >> 24, number >> 16, number >> 8, number];
  const bytes = new Uint8Array(wasm.byteLength + section.length);
  bytes.set(new Uint8Array(wasm));
  bytes.set(section, wasm.byteLength);
  return bytes;
}

// Made before it is asked for, so that the copy is no part of a start.
let next;

async function measure(request, env, ctx, writer) {
  const line = (text) => writer.write(new TextEncoder().encode(`${text}\n`));
  try {
    const bindings = { ISOTHERM_CONFIG: env.ISOTHERM_CONFIG };
    if (env.SHARDS) bindings.SHARDS = ctx.exports.Shards({});
    const isolate = env.LOADER.load({
      compatibilityDate: env.COMPATIBILITY_DATE,
      mainModule: "instance.js",
      modules: { "instance.js": instance, "index.js": index, "index_bg.wasm": { wasm: next ?? unseen() } },
      env: bindings,
      globalOutbound: null,
    });
    await isolate.getEntrypoint("Instance").ready();
    await line("ready");
    const response = await isolate.getEntrypoint().fetch(request);
    await line(response.status);
    await response.arrayBuffer();
  } catch (error) {
    await line(`failed: ${error.stack ?? error}`);
  }
  next = unseen();
  await writer.close();
}

export default {
  fetch(request, env, ctx) {
    const { readable, writable } = new IdentityTransformStream();
    ctx.waitUntil(measure(request, env, ctx, writable.getWriter()));
    return new Response(readable);
  },
};
