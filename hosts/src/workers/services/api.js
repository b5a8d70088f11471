// What an operator and a test reach of the services beside the artifact:
//
//   POST /messages               sends {"body": …, "content_type": "json"}, as Cloudflare's HTTP API takes it
//   GET  /queues                 how much is in the queue and in its dead-letter queue
//   GET  /operations             how many operations on queues were billed by now
//   POST /cdn-cgi/handler/queue  delivers {"messages": […]} once, past the queue, and answers what became of them
//   POST /clock/queue, /clock/cron?advance=MS    has the queue or the cron trigger act as if time had passed
const routes = {
  async "POST /messages"(request, env) {
    const { body, content_type: contentType = "json" } = await request.json();
    await env.QUEUE.send(body, { contentType });
    await env.EVENTS.sent(body);
    return { success: true };
  },
  async "GET /operations"(_request, env) {
    return env.EVENTS.operations();
  },
  async "GET /queues"(_request, env) {
    return { queue: await env.QUEUE.metrics(), dead: await env.DEAD_LETTERS.metrics() };
  },
  async "POST /cdn-cgi/handler/queue"(request, env) {
    const { messages } = await request.json();
    const dated = messages.map((message) => ({ ...message, timestamp: new Date(message.timestamp) }));
    return env.EVENTS.queue("events", dated);
  },
  async "POST /clock/queue"(request, env) {
    const moved = await env.QUEUES.fetch(`http://queues/clock${new URL(request.url).search}`, { method: "POST" });
    // A shard of the queue looks at the clock when it is asked something.
    await env.QUEUE.metrics();
    return moved.json();
  },
  async "POST /clock/cron"(request, env) {
    const moved = await env.CRON.fetch(`http://cron/clock${new URL(request.url).search}`, { method: "POST" });
    return moved.json();
  },
};

export default {
  async fetch(request, env) {
    const route = routes[`${request.method} ${new URL(request.url).pathname}`];
    return route ? Response.json(await route(request, env)) : new Response(null, { status: 404 });
  },
};
