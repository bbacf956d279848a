// Asks a ranker for recommendations, with the contracts learned by reflection.
//   node client.js ADDRESS USER K
// Prints {"health": ..., "items": [...], "tier": ...} as one JSON line.
"use strict";

const { promisify } = require("node:util");
const grpc = require("@grpc/grpc-js");
const { GrpcReflection } = require("grpc-js-reflection-client");

const credentials = grpc.credentials.createInsecure();

async function clientOf(address, service) {
  const reflection = new GrpcReflection(address, credentials);
  const descriptor = await reflection.getDescriptorBySymbol(service);
  const definition = descriptor.getPackageObject({ keepCase: true, enums: String });
  const Client = service
    .split(".")
    .reduce((scope, name) => scope[name], definition);
  return new Client(address, credentials);
}

async function call(client, method, request) {
  const deadline = new Date(Date.now() + 5000);
  return promisify(client[method]).call(client, request, { deadline });
}

async function main([address, user, k]) {
  const health = await clientOf(address, "grpc.health.v1.Health");
  const ranker = await clientOf(address, "stepwell_pb.v1.RecommendService");
  const { status } = await call(health, "Check", {
    service: "stepwell_pb.v1.RecommendService",
  });
  const answer = await call(ranker, "Recommend", {
    user_id: user,
    num_items: Number(k),
  });
  console.log(
    JSON.stringify({
      health: status,
      items: answer.items.map((item) => item.item_id),
      tier: answer.served_by.tier,
    }),
  );
  health.close();
  ranker.close();
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error);
  process.exit(1);
});
