// DynamicsWebApi (npm `dynamics-web-api`), as its README and wiki say: `startBatch` and `executeBatch` with as many
// requests as a batch may hold, `upsert` by alternate key, errors of single rows kept apart by `continueOnError`.
// `inChangeSet: false`, since a change set is one transaction that a single bad row undoes.
// https://github.com/AleksandrRogov/DynamicsWebApi
import { DynamicsWebApi } from "dynamics-web-api";

const TRANSIENT = new Set([429, 502, 503, 504]);

const read = async () => {
  const parts = [];
  for await (const part of process.stdin) parts.push(part);
  return JSON.parse(Buffer.concat(parts).toString("utf8"));
};

const pause = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

const put = (api, job, row) => {
  const { [job.key]: key, ...columns } = row;
  const request = { collection: job.set, inChangeSet: false };
  return job.kind === "create"
    ? api.create({ ...request, data: row })
    : api.upsert({ ...request, key: `${job.key}='${key.replaceAll("'", "''")}'`, data: columns });
};

// How many rows of one chunk were written.
const write = async (job, rows) => {
  const api = new DynamicsWebApi({
    serverUrl: job.url,
    dataApi: { version: "9.2" },
    onTokenRefresh: async () => job.token,
    propagateErrors: true,
    timeout: 120_000,
  });
  api.startBatch();
  for (const row of rows) put(api, job, row);
  const answers = await api.executeBatch({ continueOnError: true });
  return answers.filter((answer) => !(answer instanceof Error)).length;
};

const keepTrying = async (job, rows) => {
  for (let attempt = 0; attempt < job.attempts; attempt += 1) {
    try {
      return await write(job, rows);
    } catch (error) {
      const status = error?.status ?? 0;
      // Without a status the connection failed.
      if (status !== 0 && !TRANSIENT.has(status)) {
        process.stderr.write(`${status} ${error.message}\n`);
        return 0;
      }
      const after = Number(error?.headers?.["retry-after"] ?? error?.headers?.["Retry-After"]);
      await pause((after > 0 ? after : 2 ** attempt) + Math.random());
    }
  }
  return 0;
};

const job = await read();
const chunks = [];
for (let start = 0; start < job.rows.length; start += job.chunk) chunks.push(job.rows.slice(start, start + job.chunk));
const before = process.cpuUsage();
const started = performance.now();
let written = 0;
const task = async () => {
  for (let chunk = chunks.shift(); chunk !== undefined; chunk = chunks.shift()) {
    // Not `written += await ...`, which would add to what it was before the wait.
    const more = await keepTrying(job, chunk);
    written += more;
  }
};
await Promise.all(Array.from({ length: job.tasks }, task));
const cpu = process.cpuUsage(before);
process.stdout.write(
  JSON.stringify({
    written,
    given_up: job.rows.length - written,
    seconds: (performance.now() - started) / 1000,
    cpu_seconds: (cpu.user + cpu.system) / 1e6,
  }),
);
