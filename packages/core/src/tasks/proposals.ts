import { createHash } from 'node:crypto'
import type { EventDraft } from '../events/event.ts'
import { until } from '../events/event-stream.ts'
import type { Hunk, ProposedFile } from '../events/workspace-events.ts'
import type { Overlay, StagedFile } from '../sandbox/overlay-sandbox.ts'
import { createOverlaySandbox } from '../sandbox/overlay-sandbox.ts'
import type { Tool, ToolCall, ToolContext, ToolRecord } from '../tools/tool.ts'
import { cutIntoHunks, decodeText } from '../workspace/text-hunks.ts'
import { createAcceptedTool, describeRejection } from './accepted-tool.ts'
import type { ActiveRun } from './run-context.ts'
import { isLetGo, ready } from './run-context.ts'
import type { ProposalState } from './task-state.ts'
import { proposalIdOf } from './task-summary.ts'
import { createToolContext, requireRecordable } from './tool-context.ts'
import type { CallOutcome } from './tool-output.ts'

/** Most files that are proposed together; a call that writes more is asked about as a whole. */
const maxFiles = 200
/** Most bytes of hunks of one file, and of a proposal. What is beyond is proposed as a whole. */
const maxFileHunkBytes = 256 * 1024
const maxHunkBytes = 1024 * 1024

/** A call that is to be proposed. */
export interface ProposedCall {
  readonly tool: Tool
  readonly call: ToolCall
  /** What is to be in the log before anything else of the call. */
  readonly before: readonly EventDraft[]
  /** Runs the tool in a context; never rejects because of the tool. */
  run(context: ToolContext): Promise<CallOutcome>
}

/**
 * What becomes of it: it is over, with its outcome; or the tool to start in place of its own, which writes what was accepted; or a person is to be asked as for
 * any other call. With `before` as far as that is still to be written.
 */
export type Settlement =
  | { readonly outcome: CallOutcome; readonly before: readonly EventDraft[] }
  | { readonly instead: Tool }
  | { readonly ask: string; readonly before: readonly EventDraft[] }

/**
 * Finds out what the call would write, proposes it and waits for a person's decision. A call that was proposed before, as before a crash, is not run again
 * but joins the wait.
 */
export async function proposeCall(active: ActiveRun, proposed: ProposedCall): Promise<Settlement> {
  const { tool, call, before } = proposed
  const proposalId = proposalIdOf(call.callId)
  const { state } = active.runtime
  if (!state.proposals.has(proposalId)) {
    if (tool.effect !== 'write') return { ask: `${tool.effect} needs approval`, before }
    const settled = await makeProposal(active, proposed, proposalId)
    if (settled) return settled
  }
  const decided = await decision(active, proposalId)
  if (!decided) return { outcome: { outcome: 'cancelled', text: 'The run was cancelled.' }, before: [] }
  if (decided.decided.data.decisions.every((one) => one.decision === 'rejected')) {
    return { outcome: { outcome: 'rejected', text: describeRejection(decided.decided) }, before: [] }
  }
  await ready(active)
  return { instead: createAcceptedTool(active, tool, { callId: call.callId, ...decided }) }
}

/** Writes down the proposal, unless there is nothing to propose. */
async function makeProposal(active: ActiveRun, proposed: ProposedCall, proposalId: string): Promise<Settlement | undefined> {
  const { runtime } = active
  const { tool, call } = proposed
  const rehearsal = createRehearsal(active, proposed)
  const outcome = await proposed.run(rehearsal.context)
  const overlay = await rehearsal.overlay?.catch(() => undefined)
  if (overlay?.needed !== undefined)
    return { ask: `it cannot be proposed: the tool needs the sandbox for ${overlay.needed}`, before: rehearsal.before }
  const staged = [...(overlay?.staged ?? [])].filter(([, file]) => isChange(file))
  if (staged.length > maxFiles) return { ask: `it cannot be proposed: it writes ${staged.length} files`, before: rehearsal.before }
  const facts = rehearsal.records.map((record) => ({ ...record, actor: runtime.agentActor }) as EventDraft)
  if (outcome.outcome !== 'ok' || staged.length === 0) {
    const dropped = staged.length === 0 ? '' : '\n[Nothing of what it wrote was kept.]'
    return { outcome: { ...outcome, text: outcome.text + dropped }, before: [...rehearsal.before, ...facts] }
  }
  const files = await describeFiles(active, staged)
  const data = { proposalId, callId: call.callId, tool: tool.name, files }
  await runtime.drive([...rehearsal.before, ...facts, { type: 'proposal.made', actor: runtime.agentActor, data }])
  return undefined
}

interface Rehearsal {
  readonly context: ToolContext
  /** There once the tool asked for its sandbox. */
  readonly overlay: Promise<Overlay> | undefined
  /** What the tool said, but for what it says of files and commands: there are none yet. */
  readonly records: readonly ToolRecord[]
  readonly before: readonly EventDraft[]
}

/** A tool's surroundings in which it changes nothing. */
function createRehearsal(active: ActiveRun, { call, before }: ProposedCall): Rehearsal {
  const context = createToolContext(active, call, undefined)
  const records: ToolRecord[] = []
  let overlay: Promise<Overlay> | undefined
  let left = before
  return {
    records,
    get overlay() {
      return overlay
    },
    get before() {
      return left
    },
    context: {
      ...context,
      proposes: true,
      async sandbox() {
        overlay ??= context.sandbox().then(createOverlaySandbox)
        return (await overlay).sandbox
      },
      async record(record) {
        requireRecordable(record)
        if (record.type !== 'file.changed' && record.type !== 'command.started' && record.type !== 'command.finished') records.push(record)
      },
      async ask(question, options) {
        // A question is of a call that is in the log.
        const due = left
        left = []
        if (due.length > 0) await active.runtime.drive(due)
        return context.ask(question, options)
      },
    },
  }
}

function isChange({ base, proposed, mode }: StagedFile): boolean {
  return base === undefined || mode !== undefined || !Buffer.from(base.buffer, base.byteOffset, base.length).equals(proposed)
}

async function describeFiles({ runtime }: ActiveRun, staged: readonly (readonly [string, StagedFile])[]): Promise<ProposedFile[]> {
  const { blobs } = runtime.parts
  const paths = staged.map(([path]) => path)
  const files: ProposedFile[] = []
  let left = maxHunkBytes
  for (const [path, { base, proposed, mode }] of staged) {
    const hunks = hunksOf(path, paths, base, proposed, Math.min(maxFileHunkBytes, left))
    left -= hunks.reduce((sum, { diff }) => sum + Buffer.byteLength(diff), 0)
    files.push({
      path,
      change: base ? 'modified' : 'created',
      ...(base && { before: createHash('sha256').update(base).digest('hex'), base: await blobs.put(base) }),
      proposed: await blobs.put(proposed),
      ...(mode !== undefined && { mode }),
      hunks,
    })
  }
  return files
}

function hunksOf(
  path: string,
  paths: readonly string[],
  base: Uint8Array = new Uint8Array(),
  proposed: Uint8Array,
  maxBytes: number,
): Hunk[] {
  const [before, after] = [decodeText(base), decodeText(proposed)]
  const diffs = before === undefined || after === undefined ? undefined : cutIntoHunks(before, after, maxBytes)
  // The id of a file that is proposed as a whole is its path.
  let mark = '#'
  while (paths.some((other) => other.startsWith(path + mark))) mark += '#'
  return (diffs ?? []).map((diff, index) => ({ hunkId: `${path}${mark}${index + 1}`, diff }))
}

type DecidedProposal = Required<ProposalState>

/** Waits for a person's decision. Undefined where the run is cancelled; other reasons to stop leave the call open for whoever drives the task next. */
async function decision(active: ActiveRun, proposalId: string): Promise<DecidedProposal | undefined> {
  const { runtime, hold, signal } = active
  const found = (): DecidedProposal | undefined => {
    const { made, decided } = runtime.state.proposals.get(proposalId) ?? {}
    return made && decided && { made, decided }
  }
  try {
    return await hold.yieldFor(() => until(runtime.stream, found, signal, 'The proposal'))
  } catch (error) {
    if (runtime.state.run?.cancelled && !isLetGo(signal)) return undefined
    throw error
  }
}
