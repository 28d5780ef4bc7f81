// A client on the TypeScript SDK: does what an agent does, and prints what it saw as one JSON object.
//
//   node client.mjs MODE http URL          MODE: legacy (2025-11-25) or auto (2026-07-28)
//   node client.mjs MODE stdio COMMAND ARGUMENT...
//   node client.mjs tasks http URL         the Tasks extension, by its own package

import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { createTaskSessionFromClient, resultFromTaskOutcome } from "@modelcontextprotocol/ext-tasks/client";

const [mode, kind, ...where] = process.argv.slice(2);
const clientInfo = { name: "typescript", version: "2.4.0" };
const scan = { target: "10.0.0.7-8", extra_args: "-p 22,80" };

const transport =
  kind === "http"
    ? new StreamableHTTPClientTransport(new URL(where[0]))
    : new StdioClientTransport({ command: where[0], args: where.slice(1), env: process.env, stderr: "ignore" });
const client = new Client(clientInfo, { versionNegotiation: { mode: mode === "legacy" ? "legacy" : "auto" } });
await client.connect(transport);
const seen = mode === "tasks" ? await tasks() : await tools();
await client.close();
console.log(JSON.stringify(seen));

async function tools() {
  const { tools } = await client.listTools();
  const progress = [];
  const call = (name, args, options) => client.callTool({ name, arguments: args }, options);
  const found = await call("nmap_scan", scan, { onprogress: (told) => progress.push(told.progress) });
  const refused = await call("nmap_scan", { target: "8.8.8.8" });
  const uri = `tracefuse://scans/${found.structuredContent.scan_id}`;
  const { contents } = await client.readResource({ uri });
  const unknown = await call("no_such_tool", {}).then(() => null, (error) => error.code);
  return {
    era: client.getProtocolEra(),
    server: client.getServerVersion(),
    tools: tools.map((tool) => tool.name),
    progress,
    found: found.structuredContent,
    refused: { isError: refused.isError, error: refused.structuredContent.error },
    document: JSON.parse(contents[0].text).schema,
    unknown,
    cancelled: await cancelled(call),
    states: (await call("scan_history", {})).structuredContent.scans.map((one) => one.state),
  };
}

// Gives up on a call as soon as its scan makes progress.
async function cancelled(call) {
  const controller = new AbortController();
  const giveUp = { signal: controller.signal, onprogress: () => controller.abort() };
  return call("nmap_scan", { ...scan, correlation_id: "slow" }, giveUp).then(() => false, () => true);
}

async function tasks() {
  const framing = { protocolVersion: "2026-07-28", clientInfo, clientCapabilities: {} };
  let id = 1000;
  const rawDispatch = async (request, options) => {
    const { name, taskId } = request.params;
    const answer = await fetch(where[0], {
      method: "POST",
      signal: options?.signal,
      headers: {
        "content-type": "application/json",
        accept: "application/json, text/event-stream",
        "mcp-protocol-version": framing.protocolVersion,
        "mcp-method": request.method,
        "mcp-name": name ?? taskId,
      },
      body: JSON.stringify({ jsonrpc: "2.0", id: (id += 1), ...request }),
    });
    return answer.json();
  };
  const options = { endpointId: "tracefuse", rawDispatch, v2RequestFraming: framing };
  const session = createTaskSessionFromClient(client, options);
  const states = [];
  const execution = await session.callTool("nmap_scan", scan);
  const { outcome } = await execution.settle({ onEvent: (event) => void states.push(event.type ?? event.kind) });
  const result = resultFromTaskOutcome(outcome);
  const stopped = await session.callTool("nmap_scan", scan);
  await session.cancelTask(stopped.handle.taskId);
  const after = await stopped.settle().then((ended) => ended.outcome, (error) => ({ error: error.name }));
  await session.close();
  return { kind: execution.kind, states, found: result.structuredContent, isError: result.isError, after };
}
