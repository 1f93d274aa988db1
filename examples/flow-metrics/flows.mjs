// Metrics of flows: how many start, complete and fail, how long they take, the tokens they use. Nothing to install.
const INGEST_URL = process.env.INGEST_URL ?? "http://localhost:8127";

async function send(metrics) {
  const answer = await fetch(`${INGEST_URL}/ingest/metrics`, { method: "POST", body: JSON.stringify(metrics) });
  if (answer.status !== 202) throw new Error(`${answer.status}: ${await answer.text()}`);
}

const counted = (name, dimensions, value = 1) => ({ name, value, type: "counter", dimensions });
const timed = (name, value, dimensions) => ({ name, value, type: "timer", dimensions });

async function run(flow, number) {
  const dimensions = { FlowName: flow, Team: "search" }; // dimensions of your own
  const failed = number % 10 === 9;
  await send([
    counted("FlowStarted", dimensions),
    counted(failed ? "FlowError" : "FlowCompleted", dimensions),
    timed("FlowDuration", 200 + number, dimensions),
    counted("TokensUsed", { ...dimensions, Model: "sonnet" }, 50 + number),
    timed("GenerationDuration", 100 + number, { ...dimensions, Model: "sonnet" }),
  ]);
}

for (let number = 0; number < 40; number++) {
  await run(number % 2 ? "summarize" : "classify", number);
}
