import { expect, test } from 'vitest';
import { SmallMesh } from '../core/membership/small-mesh.ts';
import { isNews, transcript } from './transcript.ts';

/** A mesh that has settled, with an empty record. */
function settled(size: number, seed = 1): SmallMesh {
  const mesh = new SmallMesh(size, {}, seed);
  mesh.run(3_000);
  mesh.forget();
  return mesh;
}

test('a crash: two private rounds with helpers, the suspect is told first, nobody refutes, death', () => {
  const mesh = settled(3);
  const begun = mesh.now;
  mesh.kill(2);
  mesh.disconnect(0, 2);
  mesh.run(1_300);
  // Once it suspects, it goes on looking; those pings carry the suspicion and are left out here.
  const story = transcript(
    mesh,
    begun,
    ({ from, text }) => from === 0 && text !== 'ack' && !(text.startsWith('ping:') && text.includes('suspect')),
  );
  expect(story).toMatchInlineSnapshot(`
    "    0  0 → 2  ping: 0 alive 1.0  ✗
       19  0 → 1  ping
       30  0 → 2  ping: 0 alive 1.0  ✗
       60  0 → 2  ping: 0 alive 1.0  ✗
       90  0 → 1  ping-request 2
      200  0 → 2  ping: 0 alive 1.0  ✗
      219  0 → 1  ping
      230  0 → 2  ping: 0 alive 1.0  ✗
      260  0 → 2  ping: 0 alive 1.0  ✗
      290  0 → 1  ping-request 2
      400  0 → 2  ping: 0 alive 1.0  ✗
      419  0 → 1  ping
      422  0 → 2  ping  ✗
      430  0 → 2  ping: 0 alive 1.0  ✗
      452  0 → 2  ping  ✗
      460  0 → 2  ping: 0 alive 1.0  ✗
      490  0 → 1  ping-request 2
      494  0 → 1  nack
      600  0 → 2  gossip: 2 suspect 1.0 by 0  ✗
      600  0 holds 2 suspect: no answer in 3 rounds, direct or through helpers
      600  0 → 1  gossip: 2 suspect 1.0 by 0
      601  1 holds 2 suspect: told by 0
      650  0 → 1  gossip: 2 suspect 1.0 by 0
      690  0 → 1  ping-request 2
      694  0 → 1  nack
      700  0 → 1  gossip: 2 suspect 1.0 by 0
      819  0 → 1  ping: 0 alive 1.0
      890  0 → 1  ping-request 2
      894  0 → 1  nack
      933  0 → 1  gossip: 2 suspect 1.0 by 1
      983  0 → 1  gossip: 2 suspect 1.0 by 1
     1033  0 → 1  gossip: 2 suspect 1.0 by 1
     1090  0 → 1  ping-request 2
     1094  0 → 1  nack
     1200  0 → 2  gossip: 2 suspect 1.0 by 0  ✗
     1200  0 holds 2 dead: suspicion of 0, 1 was not refuted in time
     1200  0 → 1  gossip: 2 dead 1.0 by 0
     1201  1 holds 2 dead: suspicion of 0, 1 was not refuted in time
     1219  0 → 1  ping: 2 dead 1.0 by 0
     1250  0 → 1  gossip: 2 dead 1.0 by 0
     1300  0 → 1  gossip: 2 dead 1.0 by 0"
  `);
});

test('a refuted suspicion: the suspect hears of it, raises its incarnation, and answers straight back', () => {
  const mesh = settled(3);
  const begun = mesh.now;
  mesh.tell(0, 1, {
    kind: 'gossip',
    updates: [{ member: 2, state: 'suspect', bootCounter: 1, incarnation: 0, origin: 1 }],
  });
  mesh.run(150);
  expect(transcript(mesh, begun, isNews)).toMatchInlineSnapshot(`
    "    0  0 → 2  ping: 0 alive 1.0, 2 suspect 1.0 by 0
        0  0 holds 2 suspect: told by 1
        1  0 → 1  gossip: 2 suspect 1.0 by 1
        1  2 goes on as 1.1
        1  2 → 0  gossip: 2 alive 1.1
        1  2 → 0  ack: 2 alive 1.1
        2  2 → 0  gossip: 2 alive 1.1
        2  2 → 1  gossip: 2 alive 1.1
        2  1 → 2  ping: 1 alive 1.0, 2 suspect 1.0 by 1
        2  1 holds 2 suspect: told by 0, from 1
        2  0 → 2  gossip: 2 suspect 1.0 by 0
        2  0 holds 2 alive: said so itself
        3  1 → 0  gossip: 2 suspect 1.0 by 1
        3  1 → 2  gossip: 2 suspect 1.0 by 1
        3  1 holds 2 alive: said so itself
        3  2 → 1  gossip: 2 alive 1.1
        3  2 → 1  ack: 2 alive 1.1
        3  2 → 0  gossip: 2 alive 1.1
        4  0 → 1  gossip: 2 alive 1.1 by 0
       51  0 → 2  gossip: 2 alive 1.1
       51  0 → 1  gossip: 2 alive 1.1
       53  1 → 0  gossip: 2 alive 1.1
       53  1 → 2  gossip: 2 alive 1.1
      101  0 → 1  gossip: 2 alive 1.1
      103  1 → 0  gossip: 2 alive 1.1
      103  1 → 2  gossip: 2 alive 1.1"
  `);
});

test('a late timer: nothing is judged in the step that overslept, and the answers that waited are read', () => {
  const mesh = settled(3);
  const begun = mesh.now;
  mesh.run(5);
  mesh.disconnect(0, 2);
  mesh.run(300, new Set([0]));
  mesh.run(100);
  // Of what 0 asks and 2 answers. Without the rule, 0 would ask its helpers at 306 while the answer lies unread.
  const story = transcript(
    mesh,
    begun,
    ({ from, to, message }) =>
      (from === 0 && message.kind.startsWith('ping')) || (from === 2 && to === 0 && message.kind === 'ack'),
  );
  expect(story).toMatchInlineSnapshot(`
    "    5  0 → 2  ping: 0 alive 1.0
        6  2 → 0  ack
      356  0 → 2  ping
      357  2 → 0  ack"
  `);
  expect(mesh.members[0]!.localHealth).toBeLessThanOrEqual(1);
});

test('a link that is cut one way: the helper reaches the target, whose answer comes through it, and nothing is said in public', () => {
  const mesh = settled(3);
  const begun = mesh.now;
  mesh.loses = (from, to) => from === 0 && to === 2;
  mesh.disconnect(0, 2);
  mesh.run(205);
  const story = transcript(mesh, begun, ({ from, to, text }) => text !== 'ack' || to === 0 || from === 2);
  expect(story).toMatchInlineSnapshot(`
    "    0  0 → 2  ping: 0 alive 1.0  ✗
       19  0 → 1  ping
       20  1 → 0  ack
       30  0 → 2  ping: 0 alive 1.0  ✗
       60  0 → 2  ping: 0 alive 1.0  ✗
       90  0 → 1  ping-request 2
       91  1 → 2  ping
       92  2 → 1  ack
       93  1 → 0  ack
      107  2 → 1  ping: 2 alive 1.0
      131  1 → 0  ping"
  `);
});

test('a restart with a lost store: it counts from one again, is corrected, and goes on above what others remember', () => {
  const mesh = settled(3);
  mesh.kill(2);
  mesh.restart(2, 9);
  mesh.run(3_000);
  mesh.kill(2);
  mesh.run(4_000);
  mesh.forget();
  const begun = mesh.now;
  mesh.restart(2, 1);
  mesh.run(40);
  expect(transcript(mesh, begun, isNews)).toMatchInlineSnapshot(`
    "    0  2 → 0  hello as 1.0
        0  0 → 2  hello as 1.0: 2 dead 9.0 by 0
        0  2 → 1  hello as 1.0
        0  1 → 2  hello as 1.0: 2 dead 9.0 by 1
        1  0 rejects hello: boot 1 is older than 9
        1  0 → 2  gossip: 2 dead 9.0 by 0
        1  2 holds 0 alive: said so itself
        1  2 → 0  hello as 1.0: 0 alive 1.0 by 2
        1  2 goes on as 10.1
        1  2 → 0  hello as 10.1
        1  1 rejects hello: boot 1 is older than 9
        1  1 → 2  gossip: 2 dead 9.0 by 1
        1  2 holds 1 alive: said so itself
        1  2 → 1  hello as 10.1: 1 alive 1.0 by 2
        1  2 → 1  gossip: 2 alive 10.1
        2  2 → 1  gossip: 1 alive 1.0, 2 alive 10.1, 0 alive 1.0
        2  2 → 0  gossip: 1 alive 1.0, 2 alive 10.1, 0 alive 1.0
        2  2 → 0  gossip: 2 alive 10.1
        2  0 rejects hello: boot 1 is older than 9
        2  0 holds 2 alive: said so itself
        2  0 → 2  hello as 1.0: 2 alive 10.1 by 0
        2  1 holds 2 alive: said so itself
        2  1 → 2  hello as 1.0: 2 alive 10.1 by 1
        3  0 → 2  gossip: 2 alive 10.1
        3  0 → 1  gossip: 2 alive 10.1
        3  1 → 2  gossip: 2 alive 10.1
        3  1 → 0  gossip: 2 alive 10.1
       19  0 → 1  ping: 0 alive 1.0, 2 alive 10.1
       20  1 → 0  ack: 2 alive 10.1"
  `);
  expect(mesh.states(2)).toEqual(['alive', 'alive']);
});

test('a clone: the old boot speaks after the new one, each jumps above the other, and all come to know', () => {
  const mesh = settled(3, 4);
  const begun = mesh.now;
  // Process 3 is the twin of member 2.
  mesh.clone(2, 2);
  mesh.run(320);
  const story = transcript(mesh, begun, ({ message, from }) => message.kind === 'hello' && from >= 2);
  expect(story).toMatchInlineSnapshot(`
    "    0  3 → 0  hello as 2.0
        0  3 → 1  hello as 2.0
       56  3 holds 0 alive: said so itself
       79  2 goes on as 3.1
       79  2 → 1  hello as 3.1
       80  1 proves 2 cloned: boots 1 … 3 and 2
      181  3 goes on as 4.2
      181  3 → 0  hello as 4.2
      205  2 goes on as 5.3
      205  2 → 1  hello as 5.3
      253  3 goes on as 6.4
      253  3 → 0  hello as 6.4
      258  2 proves 2 cloned: boots 5 and 6
      258  2 goes on as 7.5
      258  2 → 1  hello as 7.5
      277  2 → 0  hello as 7.5
      278  0 proves 2 cloned: boots 1 … 7 and 2 … 6
      309  3 proves 2 cloned: boots 6 and 7
      309  3 goes on as 8.6
      309  3 → 0  hello as 8.6"
  `);
});

test('a partition that heals: the slow probe of the dead finds the other side, which refutes', () => {
  const mesh = settled(4);
  const left = (m: number) => m < 2;
  mesh.loses = (from, to) => left(from) !== left(to);
  mesh.run(30_000);
  mesh.forget();
  const begun = mesh.now;
  mesh.loses = () => false;
  mesh.run(1_200);
  const story = transcript(mesh, begun, (said) => isNews(said) && left(said.from) !== left(said.to));
  expect(story).toMatchInlineSnapshot(`
    "  183  1 → 2  ping: 2 dead 1.0 by 1, 1 alive 1.0
      184  2 → 1  gossip: 1 dead 1.0 by 2
      184  2 goes on as 1.1
      184  2 → 1  gossip: 2 alive 1.1
      184  2 → 1  ack: 2 alive 1.1
      185  1 → 2  gossip: 2 dead 1.0 by 1
      185  1 goes on as 1.1
      185  1 → 2  gossip: 1 alive 1.1
      185  1 holds 2 alive: said so itself
      186  1 → 2  gossip: 2 alive 1.1, 1 alive 1.1
      186  2 holds 1 alive: said so itself
      187  0 holds 2 alive: told by 1, from 2
      188  0 → 2  gossip: 1 alive 1.1, 2 alive 1.1
      189  2 → 0  gossip: 0 dead 1.0 by 2
      190  0 goes on as 1.1
      190  0 → 2  gossip: 0 alive 1.1
      191  2 holds 0 alive: said so itself
      235  2 → 0  gossip: 0 alive 1.1, 1 alive 1.1, 2 alive 1.1
      235  2 → 1  gossip: 0 alive 1.1, 1 alive 1.1
      236  1 → 2  gossip: 0 alive 1.1
      236  3 holds 0 alive: told by 2, from 0
      236  3 holds 1 alive: told by 2, from 1
      237  3 → 0  gossip: 1 alive 1.1, 0 alive 1.1, 2 alive 1.1
      237  3 → 1  gossip: 1 alive 1.1, 0 alive 1.1, 2 alive 1.1
      238  0 → 2  gossip: 0 alive 1.1
      238  0 → 3  gossip: 3 dead 1.0 by 0
      238  1 → 3  gossip: 3 dead 1.0 by 1
      239  3 goes on as 1.1
      239  3 → 0  gossip: 3 alive 1.1
      239  3 → 1  gossip: 3 alive 1.1
      240  0 holds 3 alive: said so itself
      240  1 holds 3 alive: said so itself
      285  2 → 1  gossip: 0 alive 1.1, 1 alive 1.1
      286  1 → 2  gossip: 3 alive 1.1
      286  1 → 3  gossip: 3 alive 1.1
      287  3 → 0  gossip: 3 alive 1.1, 1 alive 1.1, 0 alive 1.1
      287  3 → 1  gossip: 3 alive 1.1
      288  0 → 3  gossip: 3 alive 1.1
      288  0 → 2  gossip: 3 alive 1.1
      307  2 → 0  ping: 2 alive 1.1, 3 alive 1.1
      308  0 → 2  ack: 3 alive 1.1
      331  1 → 3  ping: 1 alive 1.1, 3 alive 1.1
      332  3 → 1  ack: 3 alive 1.1
      335  2 → 1  gossip: 3 alive 1.1
      335  2 → 0  gossip: 3 alive 1.1"
  `);
  for (let m = 0; m < 4; m++) expect(mesh.states(m)).toEqual(['alive', 'alive', 'alive']);
});

test('leave and return: left at once in all eyes, nobody probes or suspects it; a new boot is alive at once', () => {
  const mesh = settled(3);
  const begun = mesh.now;
  mesh.leave(2);
  mesh.kill(2);
  mesh.run(1_500);
  mesh.restart(2, 2);
  mesh.run(60);
  expect(transcript(mesh, begun, isNews)).toMatchInlineSnapshot(`
    "    0  2 → 0  gossip: 2 left 1.0
        0  2 → 1  gossip: 2 left 1.0
        1  0 holds 2 left: said so itself
        1  1 holds 2 left: said so itself
       52  0 → 1  ping: 0 alive 1.0, 2 left 1.0
       52  0 → 1  gossip: 2 left 1.0
       52  1 → 0  gossip: 2 left 1.0
       53  1 → 0  ack: 2 left 1.0
      102  0 → 1  gossip: 2 left 1.0
      102  1 → 0  gossip: 2 left 1.0
      131  1 → 0  ping: 1 alive 1.0, 2 left 1.0
      132  0 → 1  ack: 2 left 1.0
      183  1 → 2  ping: 2 left 1.0 by 1, 1 alive 1.0  ✗
      898  0 → 2  ping: 2 left 1.0 by 0, 0 alive 1.0  ✗
     1183  1 → 2  ping: 2 left 1.0 by 1, 1 alive 1.0  ✗
     1500  2 → 0  hello as 2.0
     1500  0 → 2  hello as 1.0: 2 left 1.0 by 0
     1500  2 → 1  hello as 2.0
     1500  1 → 2  hello as 1.0: 2 left 1.0 by 1
     1501  0 holds 2 alive: said so itself
     1501  0 → 2  hello as 1.0: 2 alive 2.0 by 0
     1501  2 holds 0 alive: said so itself
     1501  2 → 0  hello as 2.0: 0 alive 1.0 by 2
     1501  2 → 0  gossip: 2 alive 2.0
     1501  1 holds 2 alive: said so itself
     1501  1 → 2  hello as 1.0: 2 alive 2.0 by 1
     1501  2 holds 1 alive: said so itself
     1501  2 → 1  hello as 2.0: 1 alive 1.0 by 2
     1501  2 → 1  gossip: 2 alive 2.0
     1502  0 → 2  gossip: 2 alive 2.0
     1502  0 → 1  gossip: 2 alive 2.0
     1502  1 → 0  gossip: 2 alive 2.0
     1502  1 → 2  gossip: 2 alive 2.0
     1502  2 → 0  gossip: 1 alive 1.0, 0 alive 1.0
     1502  2 → 1  gossip: 1 alive 1.0, 0 alive 1.0
     1507  2 → 0  ping: 2 alive 2.0, 1 alive 1.0, 0 alive 1.0
     1508  0 → 2  ack: 2 alive 2.0
     1531  1 → 2  ping: 1 alive 1.0, 2 alive 2.0
     1532  2 → 1  ack: 1 alive 1.0, 0 alive 1.0
     1552  0 → 2  gossip: 2 alive 2.0
     1552  1 → 0  gossip: 2 alive 2.0"
  `);
});
