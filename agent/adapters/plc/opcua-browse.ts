import type * as UA from 'node-opcua-client';
import { type Browsed, type BrowseOptions, type BrowseRow, shown } from './browse.ts';
import { bounded, within } from './keep-connected.ts';
import { createClient, identify, type OpcUaConnection, openClient, reach } from './opcua-client.ts';
import { loadDriver, type OpcUaDriver } from './opcua-driver.ts';

/** The Objects folder, and the server's own description of itself, which nobody means. */
const objects = 'i=85';
const serverObject = 'i=2253';
/** Rounds in which a server may hand out one node's children in pieces. */
const mostPieces = 20;

interface Child {
  readonly name: string;
  readonly nodeId: string;
  readonly isVariable: boolean;
}

/** The server's tree from a node on, breadth before depth within each folder, every node once. */
export async function browseOpcUa(connection: OpcUaConnection, options: BrowseOptions): Promise<Browsed> {
  const { timing, signal, depth, most, pki, from } = options;
  await reach(connection.endpoint, timing.connectMs, signal);
  const ua = await loadDriver();
  const client = await createClient(ua, connection, pki, timing);
  try {
    await openClient(client, connection, pki, timing);
    const session = await within(client.createSession(await identify(ua, connection)), timing.connectMs, 'login');
    const rows: BrowseRow[] = [];
    const seen = new Set<string>([serverObject]);
    let cut = false;
    const visit = async (nodeId: string, level: number): Promise<void> => {
      const children = await childrenOf(ua, session, nodeId, timing.connectMs);
      // One more than may be shown, so that it is seen that there is more.
      const fresh = children.filter((child) => !seen.has(child.nodeId)).slice(0, most - rows.length + 1);
      for (const child of fresh) seen.add(child.nodeId);
      const values = await valuesOf(
        ua,
        session,
        fresh.filter(({ isVariable }) => isVariable),
        timing.connectMs,
      );
      for (const child of fresh) {
        if (signal.aborted) throw new Error('stopped');
        if (rows.length >= most) {
          cut = true;
          return;
        }
        const value = values.get(child.nodeId);
        rows.push({
          depth: level,
          name: shown(child.name),
          address: child.isVariable ? child.nodeId : undefined,
          type: child.isVariable ? value?.type : undefined,
          value: value?.text,
        });
        if (level + 1 < depth) await visit(child.nodeId, level + 1);
        else if (!child.isVariable) cut = true;
      }
    };
    await visit(from ?? objects, 0);
    return { rows, cut };
  } finally {
    await bounded(client.disconnect(), 2_000);
  }
}

async function childrenOf(ua: OpcUaDriver, session: UA.ClientSession, nodeId: string, ms: number): Promise<Child[]> {
  const found: Child[] = [];
  let result = await within(
    session.browse({
      nodeId,
      referenceTypeId: 'HierarchicalReferences',
      includeSubtypes: true,
      browseDirection: ua.BrowseDirection.Forward,
      nodeClassMask: 0,
      resultMask: 63,
    }),
    ms,
    'browse',
  );
  if (!result.statusCode.isGood()) throw new Error(`${nodeId}: the server says ${result.statusCode.name}`);
  for (let i = 0; i < mostPieces; i++) {
    for (const reference of result.references ?? []) {
      const isVariable = reference.nodeClass === ua.NodeClass.Variable;
      if (isVariable || reference.nodeClass === ua.NodeClass.Object)
        found.push({
          name: reference.browseName.name ?? '',
          nodeId: reference.nodeId.toString().replace(/^ns=0;/, ''),
          isVariable,
        });
    }
    if (!result.continuationPoint || result.continuationPoint.length === 0) break;
    result = await within(session.browseNext(result.continuationPoint, false), ms, 'browse');
  }
  return found;
}

async function valuesOf(
  ua: OpcUaDriver,
  session: UA.ClientSession,
  variables: readonly Child[],
  ms: number,
): Promise<Map<string, { readonly type: string; readonly text: string }>> {
  const values = new Map<string, { type: string; text: string }>();
  for (let i = 0; i < variables.length; i += 100) {
    const part = variables.slice(i, i + 100);
    const read = await within(
      session.read(part.map(({ nodeId }) => ({ nodeId, attributeId: ua.AttributeIds.Value }))),
      ms,
      'read',
    );
    for (const [k, { nodeId }] of part.entries()) {
      const data = read[k];
      if (data === undefined) continue;
      const good = data.statusCode.isGood();
      values.set(nodeId, {
        type: ua.DataType[data.value?.dataType ?? 0] ?? '',
        text: good ? shown(data.value?.value) : data.statusCode.name,
      });
    }
  }
  return values;
}
