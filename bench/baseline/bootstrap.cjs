#!/usr/bin/env node
// A plain loop over the Lambda Runtime API: aws-lambda-ric would compile native code, and is no faster.
"use strict";

const http = require("node:http");

// Each new environment would print a page about the machine's Node.js.
process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED = "true";
const [host, port] = process.env.AWS_LAMBDA_RUNTIME_API.split(":");
const agent = new http.Agent({ keepAlive: true });

function call(method, path, body) {
  return new Promise((resolve, reject) => {
    const options = { host, port, method, path: `/2018-06-01/runtime/${path}`, agent };
    const request = http.request(options, (response) => {
      const chunks = [];
      response.on("data", (chunk) => chunks.push(chunk));
      response.on("end", () => resolve({ headers: response.headers, text: Buffer.concat(chunks).toString() }));
      response.on("error", reject);
    });
    request.on("error", reject);
    request.end(body);
  });
}

function failure(error) {
  return JSON.stringify({ errorType: error?.name ?? "Error", errorMessage: String(error?.message ?? error) });
}

async function serve() {
  let handler;
  try {
    ({ handler } = await import("./index.mjs"));
  } catch (error) {
    await call("POST", "init/error", failure(error));
    process.exit(1);
  }
  for (;;) {
    const { headers, text } = await call("GET", "invocation/next");
    const id = headers["lambda-runtime-aws-request-id"];
    let answer;
    try {
      answer = ["response", JSON.stringify(await handler(JSON.parse(text)))];
    } catch (error) {
      answer = ["error", failure(error)];
    }
    await call("POST", `invocation/${id}/${answer[0]}`, answer[1]);
  }
}

serve();
