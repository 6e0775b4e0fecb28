// The protocol over Node's own WebSocket: connect, health, a tool, then `idle` seconds of silence, and health again.
//     node speak.mjs URL TOKEN IDLE
const [url, token, idle] = process.argv.slice(2);
const socket = new WebSocket(url);
const waiting = new Map();
let ticks = 0;
let challenged;
const challenge = new Promise((resolve) => (challenged = resolve));

function call(method, params) {
  const id = crypto.randomUUID();
  const answer = new Promise((resolve, reject) => waiting.set(id, { resolve, reject }));
  socket.send(JSON.stringify({ type: "req", id, method, params }));
  return answer;
}

socket.onmessage = ({ data }) => {
  const frame = JSON.parse(data);
  if (frame.event === "connect.challenge") challenged();
  if (frame.event === "tick") ticks += 1;
  if (frame.type !== "res") return;
  const { resolve, reject } = waiting.get(frame.id);
  frame.ok ? resolve(frame.payload) : reject(new Error(frame.error.message));
};
socket.onclose = ({ code, reason }) => {
  if (code !== 1000 && code !== 1005) {
    console.error(`closed ${code} ${reason}`);
    process.exit(1);
  }
};

await challenge;
await call("connect", {
  minProtocol: 3,
  maxProtocol: 4,
  client: { id: "gateway-client", mode: "backend", version: "1", platform: process.platform },
  scopes: ["operator.write"],
  auth: { token },
});
const health = await call("health");
const { output } = await call("tools.invoke", { name: "time_status", args: {} });
await new Promise((resolve) => setTimeout(resolve, Number(idle) * 1000));
await call("health", {});
console.log(JSON.stringify({ healthy: health.ok, tool: output.content[0].type, ticks }));
socket.close(1000);
