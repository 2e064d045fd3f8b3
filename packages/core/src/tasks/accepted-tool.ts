import { createHash } from 'node:crypto'
import { BatonError, messageOf } from '../errors.ts'
import type { Actor } from '../events/envelope.ts'
import type { EventDraft } from '../events/event.ts'
import type { FileChanged, HunkDecision, ProposedFile } from '../events/workspace-events.ts'
import { boundText } from '../sandbox/bounded-output.ts'
import type { Sandbox } from '../sandbox/sandbox.ts'
import type { SettledFile, Tool, ToolContext, ToolOutput } from '../tools/tool.ts'
import type { FileDiff } from '../workspace/file-diff.ts'
import { diffTexts } from '../workspace/file-diff.ts'
import { assembleHunks, decodeText } from '../workspace/text-hunks.ts'
import type { ActiveRun } from './run-context.ts'
import type { ProposalState } from './task-state.ts'

/** A proposal that was decided, and the call that it stands for. */
export type DecidedCall = Required<ProposalState> & { readonly callId: string }

/** Largest file that is compared; none that large is proposed. */
const maxFileBytes = 64 * 1024 * 1024
/** Most bytes of a difference in an event. */
const maxEventDiffBytes = 64 * 1024
/** Most bytes of all differences in the result. */
const maxShownDiffBytes = 24 * 1024
const maxFeedbackBytes = 8 * 1024
/** Most hunks of one file that are told of one by one. */
const maxNamedHunks = 40

/** What becomes of one file. */
interface FilePlan {
  readonly file: ProposedFile
  readonly base: Uint8Array | undefined
  readonly proposed: Uint8Array
  /** What is to be written; undefined where it stays as it is. */
  readonly content: Uint8Array | undefined
  /** A person changed what was proposed into something else. */
  readonly edited: boolean
  readonly decisions: readonly HunkDecision[]
}

/**
 * A tool that writes what was accepted of a proposal: the files that are still as the proposal found them, or none. Where one of them was edited, the change
 * is recorded as that of who edited it, else as the agent's.
 */
export function createAcceptedTool(active: ActiveRun, tool: Tool, call: DecidedCall): Tool {
  const paths = call.made.files.map(({ path }) => path)
  return {
    name: tool.name,
    description: tool.description,
    input: tool.input,
    effect: tool.effect,
    sources: () => paths.map((path) => `file:${path}`),
    run: (_, context) => writeAccepted(active, tool, call, context),
  }
}

/** What the agent is told where all of a proposal was rejected. */
export function describeRejection({ by, data }: DecidedCall['decided']): string {
  return `${nameOf(by)} rejected all of what you proposed; nothing was written.${feedbackOf(data.feedback)}`
}

async function writeAccepted(active: ActiveRun, tool: Tool, call: DecidedCall, context: ToolContext): Promise<ToolOutput> {
  const plans = await Promise.all(call.made.files.map((file) => planFile(active, file, call.decided.data.decisions)))
  const due = plans.filter(({ content }) => content !== undefined)
  const sandbox = await context.sandbox()
  const stale: StaleFile[] = []
  for (const { file, base } of due) {
    const now = await readNow(sandbox, file.path, context.signal)
    if (sha256Of(now) !== file.before) stale.push({ path: file.path, base, now })
  }
  if (stale.length > 0) return refuse(tool, stale, [], call, context)
  const written: string[] = []
  for (const plan of due) {
    const { path } = plan.file
    try {
      await writeFile(active, sandbox, plan, call, context)
    } catch (error) {
      if (context.signal.aborted || !BatonError.isInstance(error)) throw error
      if (error.code !== 'FILE_CHANGED') throw new BatonError(error.code, `${messageOf(error)}${writtenNote(written)}`, { cause: error })
      const now = await readNow(sandbox, path, context.signal)
      return refuse(tool, [{ path, base: plan.base, now }], written, call, context)
    }
    written.push(path)
  }
  return describe(tool, plans, call, context)
}

async function planFile({ runtime }: ActiveRun, file: ProposedFile, all: readonly HunkDecision[]): Promise<FilePlan> {
  const { blobs } = runtime.parts
  const base = file.base && (await blobs.get(file.base))
  const proposed = await blobs.get(file.proposed)
  const ids = file.hunks.length === 0 ? [file.path] : file.hunks.map(({ hunkId }) => hunkId)
  const decisions = ids.map((hunkId): HunkDecision => all.find((one) => one.hunkId === hunkId) ?? { hunkId, decision: 'rejected' })
  const put = (content: Uint8Array | undefined): FilePlan => {
    const same = content && base && file.mode === undefined && sha256Of(content) === sha256Of(base)
    const edited = decisions.some(({ decision }) => decision === 'edited') && !(content && sha256Of(content) === sha256Of(proposed))
    return { file, base, proposed, content: same ? undefined : content, edited, decisions }
  }
  if (decisions.every(({ decision }) => decision === 'rejected')) return put(undefined)
  if (decisions.every(({ decision }) => decision === 'accepted')) return put(proposed)
  if (file.hunks.length === 0) return put(Buffer.from(decisions[0]?.text ?? ''))
  const choices = file.hunks.map(({ diff }, index) => ({ decision: 'rejected' as const, ...decisions[index], diff }))
  return put(Buffer.from(assembleHunks(decodeText(base ?? new Uint8Array()) ?? '', choices)))
}

/** Undefined where there is no file. */
async function readNow(sandbox: Sandbox, path: string, signal: AbortSignal): Promise<Uint8Array | undefined> {
  try {
    return await sandbox.readFile(path, { maxBytes: maxFileBytes, signal })
  } catch (error) {
    if (BatonError.isInstance(error, 'FILE_NOT_FOUND')) return undefined
    throw error
  }
}

async function writeFile(
  active: ActiveRun,
  sandbox: Sandbox,
  { file, base, content = new Uint8Array(), edited }: FilePlan,
  { callId, decided }: DecidedCall,
  context: ToolContext,
): Promise<void> {
  const { path, change, before, mode } = file
  await sandbox.writeFile(path, content, { ifSha256: before ?? null, mode, signal: context.signal })
  const after = sha256Of(content)
  const difference = differenceOf(base, content, maxEventDiffBytes)
  const data: FileChanged = {
    ...{ path, change, evidence: 'tool', callId },
    ...(before !== undefined && { before }),
    ...(after !== undefined && { after }),
    ...(difference && { diff: difference.text, addedLines: difference.addedLines, removedLines: difference.removedLines }),
  }
  if (!edited) return context.record({ type: 'file.changed', data })
  const draft: EventDraft = { type: 'file.changed', actor: decided.by, data }
  await active.runtime.drive([draft])
  await active.snapshots.note(sandbox, path, after)
}

interface StaleFile {
  readonly path: string
  readonly base: Uint8Array | undefined
  readonly now: Uint8Array | undefined
}

/** The failure of a proposal to files that are not what it was about any more, with the difference. */
function refuse(tool: Tool, stale: readonly StaleFile[], written: readonly string[], call: DecidedCall, context: ToolContext): ToolOutput {
  const by = nameOf(call.decided.by)
  const nothing = written.length === 0 ? 'nothing was written' : 'it was not written'
  const parts = [`${by} accepted this, but it cannot be made: ${nothing}.${writtenNote(written)}${feedbackOf(call.decided.data.feedback)}`]
  const shown = createShown(context, parts)
  for (const { path, base, now } of stale) {
    if (now === undefined) shown.add(`${name(path)} is gone since you proposed this.`)
    else shown.add(`${name(path)} has changed since you proposed this. The difference from then to what is there now:`, base, now)
    tellTool(tool, { path, content: now, shown: now === undefined || shown.whole }, context)
  }
  return { text: shown.text('Take this into account and try again.'), failed: true }
}

function writtenNote(written: readonly string[]): string {
  return written.length === 0 ? '' : ` Written before that: ${written.map(name).join(', ')}.`
}

/** The account of what was accepted, edited and rejected. */
function describe(tool: Tool, plans: readonly FilePlan[], { made, decided }: DecidedCall, context: ToolContext): ToolOutput {
  const count = (kind: HunkDecision['decision']): number =>
    plans.flatMap(({ decisions }) => decisions).filter(({ decision }) => decision === kind).length
  const counts = (['accepted', 'edited', 'rejected'] as const).filter((kind) => count(kind) > 0).map((kind) => `${count(kind)} ${kind}`)
  const all = counts.length === 1 && count('accepted') > 0
  const what = all ? 'accepted all of what you proposed' : `decided on the parts of what you proposed: ${counts.join(', ')}`
  const files = plans.map((plan) => ({ plan, diff: plan.content && differenceOf(plan.base, plan.content, maxEventDiffBytes) }))
  const lines = files.flatMap(({ plan, diff }) => linesOf(plan, diff, all))
  const shown = createShown(context, [`${nameOf(decided.by)} ${what}.${feedbackOf(decided.data.feedback)}`, ...lines])
  for (const { file, content, proposed } of plans) {
    if (content === undefined) continue
    const as = sha256Of(content) === sha256Of(proposed)
    if (!as) shown.add(`The difference from what you proposed to what ${name(file.path)} holds now:`, proposed, content)
    tellTool(tool, { path: file.path, content, shown: as || shown.whole }, context)
  }
  const data = {
    proposalId: made.proposalId,
    files: files.flatMap(({ plan, diff }) =>
      plan.content
        ? [{ path: plan.file.path, ...(diff && { diff: diff.text, addedLines: diff.addedLines, removedLines: diff.removedLines }) }]
        : [],
    ),
  }
  return { text: shown.text(), data }
}

function linesOf({ file, content, edited, decisions }: FilePlan, diff: FileDiff | undefined, all: boolean): string[] {
  const counts = diff ? ` (+${diff.addedLines} −${diff.removedLines})` : ''
  const fate = content === undefined ? 'stays as it was' : `${file.change === 'created' ? 'created' : 'changed'}${counts}`
  const head = `- ${name(file.path)}: ${fate}${edited && content !== undefined ? ', with their edit' : ''}`
  if (all) return [head]
  const named = decisions.slice(0, maxNamedHunks).map(({ hunkId, decision }) => {
    const hunk = file.hunks.find((one) => one.hunkId === hunkId)
    return `  ${decision}: ${hunk ? hunk.diff.split('\n', 1)[0] : 'the whole file'}`
  })
  return [head, ...named, ...(decisions.length > named.length ? [`  and ${decisions.length - named.length} more parts`] : [])]
}

/** Collects the text of a result, with differences as long as they fit. */
interface Shown {
  add(words: string, before?: Uint8Array, after?: Uint8Array): void
  /** Whether the last difference is there in full. */
  readonly whole: boolean
  text(last?: string): string
}

function createShown({ maxOutputBytes }: ToolContext, parts: string[]): Shown {
  let left = Math.min(maxShownDiffBytes, maxOutputBytes - Buffer.byteLength(parts.join('\n')) - 500)
  let whole = true
  return {
    get whole() {
      return whole
    },
    add(words, before, after) {
      parts.push(words)
      left -= Buffer.byteLength(words) + 100
      if (!after) return
      const diff = differenceOf(before, after, Math.max(0, left))
      whole = diff !== undefined && !diff.cut
      left -= Buffer.byteLength(diff?.text ?? '')
      if (diff) parts.push(diff.text.trimEnd())
      if (!whole)
        parts.push(diff ? 'Read the file before you change it again.' : 'It cannot be shown. Read the file before you change it again.')
    },
    text: (last) => [...parts, ...(last === undefined ? [] : [last])].join('\n'),
  }
}

/** Undefined where it is no text. */
function differenceOf(before: Uint8Array = new Uint8Array(), after: Uint8Array, maxBytes: number): FileDiff | undefined {
  const [old, now] = [decodeText(before), decodeText(after)]
  return old === undefined || now === undefined ? undefined : diffTexts(old, now, maxBytes)
}

/** What a tool makes of it in its memory does not change what was written. */
function tellTool(tool: Tool, file: SettledFile, { memory }: ToolContext): void {
  try {
    tool.remember?.(file, memory)
  } catch {
    // It will have to look again.
  }
}

function feedbackOf(feedback: string | undefined): string {
  return feedback === undefined ? '' : `\nThey say: ${boundText(feedback, maxFeedbackBytes).text}`
}

function nameOf({ name, id }: Actor): string {
  return name ?? id
}

function name(path: string): string {
  return JSON.stringify(path).slice(1, -1)
}

function sha256Of(content: Uint8Array): string
function sha256Of(content: Uint8Array | undefined): string | undefined
function sha256Of(content: Uint8Array | undefined): string | undefined {
  return content && createHash('sha256').update(content).digest('hex')
}
