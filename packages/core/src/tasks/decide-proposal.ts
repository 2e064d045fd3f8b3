import { z } from 'zod'
import { BatonError } from '../errors.ts'
import type { EventTypes } from '../events/event.ts'
import type { Hunk, HunkDecision, ProposedFile } from '../events/workspace-events.ts'
import { HunkDecision as Decision } from '../events/workspace-events.ts'
import { parseOptions } from '../options.ts'
import { newSideOf } from '../workspace/text-hunks.ts'
import type { TaskRuntime } from './runtime.ts'
import type { ProposalState } from './task-state.ts'

/** What is decided on a proposal: all of it, or each of its hunks. */
export type ProposalDecisions = 'accept' | 'reject' | readonly HunkDecision[]

/** A proposal that waits for a decision. */
export interface WaitingProposal {
  readonly proposalId: string
  /** The call that waits for it. */
  readonly callId: string
  readonly tool: string
  readonly files: readonly WaitingFile[]
}

/** A file of it. */
export interface WaitingFile extends Omit<ProposedFile, 'hunks'> {
  /** Empty where it is decided on as a whole, under its path as the id. */
  readonly hunks: readonly WaitingHunk[]
}

/** A part of it that is decided on. */
export interface WaitingHunk extends Hunk {
  /** The lines that it leads to, those around the change included: what an edit begins with. */
  readonly text: string
}

const Options = z.strictObject({
  decisions: z.union([z.enum(['accept', 'reject']), z.array(Decision.strict())]),
  feedback: z.string().optional(),
})

/** The proposals that wait, oldest first. */
export function waitingProposals({ state }: TaskRuntime): WaitingProposal[] {
  return undecided(state.proposals).map(({ proposalId, callId, tool, files }) => ({
    ...{ proposalId, callId, tool },
    files: files.map((file) => ({ ...file, hunks: file.hunks.map((hunk) => ({ ...hunk, text: newSideOf(hunk.diff) })) })),
  }))
}

function undecided(proposals: ReadonlyMap<string, ProposalState>): EventTypes['proposal.made'][] {
  return [...proposals.values()].flatMap(({ made, decided }) => (decided ? [] : [made]))
}

/**
 * Checks a decision on a proposal that waits.
 *
 * @throws BatonError `UNKNOWN_REQUEST` where none waits under that id; `INVALID_OPTIONS` where it does not decide on each hunk once
 */
export function parseDecision(
  runtime: TaskRuntime,
  proposalId: string,
  given: { readonly decisions: unknown; readonly feedback?: unknown },
): EventTypes['proposal.decided'] {
  const { decisions, feedback } = parseOptions('decideProposal', Options, given)
  const { files } = requireUndecided(runtime, proposalId)
  const ids = files.flatMap(({ path, hunks }) => (hunks.length === 0 ? [path] : hunks.map(({ hunkId }) => hunkId)))
  const all = (decision: 'accepted' | 'rejected'): HunkDecision[] => ids.map((hunkId) => ({ hunkId, decision }))
  if (decisions === 'accept' || decisions === 'reject') {
    return { proposalId, decisions: all(decisions === 'accept' ? 'accepted' : 'rejected'), ...(feedback !== undefined && { feedback }) }
  }
  requireComplete(ids, decisions)
  return { proposalId, decisions, ...(feedback !== undefined && { feedback }) }
}

function requireComplete(ids: readonly string[], decisions: readonly HunkDecision[]): void {
  const problems: string[] = []
  const given = decisions.map(({ hunkId }) => hunkId)
  const missing = ids.filter((id) => !given.includes(id))
  const unknown = given.filter((id) => !ids.includes(id))
  const twice = given.filter((id, index) => given.indexOf(id) !== index)
  const textless = decisions.filter(({ decision, text }) => (decision === 'edited') !== (text !== undefined)).map(({ hunkId }) => hunkId)
  if (missing.length > 0) problems.push(`no decision on ${missing.join(', ')}`)
  if (unknown.length > 0) problems.push(`there is no ${unknown.join(', ')}; the parts are ${ids.join(', ')}`)
  if (twice.length > 0) problems.push(`more than one decision on ${twice.join(', ')}`)
  if (textless.length > 0) problems.push(`text belongs to "edited", and to nothing else: ${textless.join(', ')}`)
  if (problems.length > 0) {
    throw new BatonError('INVALID_OPTIONS', `decideProposal: decisions: ${problems.join('; ')}`, { details: { missing, unknown } })
  }
}

/**
 * The proposal, as long as it waits.
 *
 * @throws BatonError `UNKNOWN_REQUEST` naming those that do
 */
export function requireUndecided({ id, state }: TaskRuntime, proposalId: string): EventTypes['proposal.made'] {
  const proposal = state.proposals.get(proposalId)
  if (proposal && !proposal.decided) return proposal.made
  const waiting = undecided(state.proposals).map((one) => one.proposalId)
  const what = proposal ? 'it was decided already' : `no proposal "${proposalId}" waits`
  const hint = waiting.length === 0 ? 'No proposal waits.' : `Waiting: ${waiting.join(', ')}.`
  throw new BatonError('UNKNOWN_REQUEST', `Task ${id}: ${what}. ${hint}`, { details: { waiting } })
}
