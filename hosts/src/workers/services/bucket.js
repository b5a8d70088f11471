// The bucket: R2's protocol for putting an object, over a folder. What is there is read as files.

const hex = (bytes) => Array.from(new Uint8Array(bytes), (byte) => byte.toString(16).padStart(2, "0")).join("");

export default {
  async fetch(request, env) {
    const body = new Uint8Array(await request.arrayBuffer());
    const size = Number(request.headers.get("cf-r2-metadata-size"));
    const { method, object } = JSON.parse(new TextDecoder().decode(body.subarray(0, size)));
    if (method !== "put") return refused(501, `this bucket does not know ${method}`);
    const value = body.subarray(size);
    const path = object.split("/").map(encodeURIComponent).join("/");
    // Written beside it and moved there: an object is whole or it is the one before.
    const written = await env.FOLDER.fetch(`http://folder/${path}`, { method: "PUT", body: value }).catch((error) => error);
    if (!written.ok) return refused(500, `${path} was not written: ${written.message ?? written.status}`);
    const etag = hex(await crypto.subtle.digest("MD5", value));
    return Response.json({ name: object, version: etag, etag, size: value.length, uploaded: Date.now(), checksums: { 0: etag } });
  },
};

function refused(status, message) {
  return new Response(null, { status, headers: { "cf-r2-error": JSON.stringify({ v4code: 10001, message }) } });
}
