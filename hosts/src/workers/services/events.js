// Hands the events of the queue and of the cron trigger to the artifact, which is in a process of its own: a call over a
// socket stands for the event, since workerd sends those within a process only. On their way operations on queues are counted
// as they are billed: for each 64 KB of a message one when it is written, one when it is read, and one when it is deleted.
import { WorkerEntrypoint } from "cloudflare:workers";

let operations = 0;

const operation = (body) => {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  operations += Math.max(1, Math.ceil(new TextEncoder().encode(text).length / 65_536));
};

export default class extends WorkerEntrypoint {
  async queue(batch) {
    const messages = batch.messages.map((message) => ({
      id: message.id,
      timestamp: message.timestamp,
      attempts: message.attempts,
      body: message.body,
      ack: () => {
        operation(message.body);
        message.ack();
      },
      retry: (options) => {
        if (message.attempts > this.env.CONSUMERS[batch.queue].maxRetries) {
          // Written to the dead-letter queue, and deleted.
          operation(message.body);
          operation(message.body);
        }
        message.retry(options ?? undefined);
      },
    }));
    messages.forEach(({ body }) => operation(body));
    await this.env.ARTIFACT.queue({ queue: batch.queue, messages });
  }

  sent(body) {
    operation(body);
  }

  operations() {
    return operations;
  }

  async scheduled({ cron, scheduledTime }) {
    await this.env.ARTIFACT.scheduled({ cron, scheduledTime });
  }
}
