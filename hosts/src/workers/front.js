// Logs one line for each request. Only there when the host is asked to log; otherwise nothing stands before the artifact.
export default {
  async fetch(request, env) {
    const started = performance.now();
    const response = await env.ARTIFACT.fetch(request);
    const ms = (performance.now() - started).toFixed(1);
    const { pathname } = new URL(request.url);
    console.log(`${new Date().toISOString()} ${request.method} ${pathname} ${response.status} ${ms}`);
    return response;
  },
};
