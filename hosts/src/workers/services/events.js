// Hands the events of the queue and of the cron trigger to the artifact, which is in a process of its own: a call over a
// socket stands for the event, since workerd sends those within a process only.
import { WorkerEntrypoint } from "cloudflare:workers";

export default class extends WorkerEntrypoint {
  async queue(batch) {
    const messages = batch.messages.map((message) => ({
      id: message.id,
      timestamp: message.timestamp,
      attempts: message.attempts,
      body: message.body,
      ack: () => message.ack(),
      retry: (options) => message.retry(options ?? undefined),
    }));
    await this.env.ARTIFACT.queue({ queue: batch.queue, messages });
  }

  async scheduled({ cron, scheduledTime }) {
    await this.env.ARTIFACT.scheduled({ cron, scheduledTime });
  }
}
