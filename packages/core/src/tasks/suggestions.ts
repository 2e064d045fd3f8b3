import { posix } from 'node:path'
import { v7 as uuidv7 } from 'uuid'
import { z } from 'zod'
import { BatonError } from '../errors.ts'
import type { Actor, Sensitivity } from '../events/envelope.ts'
import { actorKey, systemActor } from '../events/envelope.ts'
import type { EventDraft } from '../events/event.ts'
import type { TaskSummary } from '../events/event-store.ts'
import { createInterrupt } from '../models/interrupt.ts'
import type { ModelReply } from '../models/model.ts'
import { highestSensitivity } from '../models/sensitivity.ts'
import type { Abortable } from '../options.ts'
import { parseOptions } from '../options.ts'
import { diffTexts } from '../workspace/file-diff.ts'
import { decodeText } from '../workspace/text-hunks.ts'
import { labelOf } from './labels.ts'
import type { TaskRuntime } from './runtime.ts'
import { callForPerson } from './suggestion-call.ts'
import type { RecentChange, SuggestionLog } from './suggestion-log.ts'
import { byRelevance, openSuggestionLog } from './suggestion-log.ts'
import { completionFor, editFor } from './suggestion-prompt.ts'
import { missingText, replacementText } from './suggestion-reply.ts'
import type { TaskSandbox } from './task-sandbox.ts'

/** Text that is suggested to a person. Nothing is written: what becomes of it is told by `task.decideSuggestion`. */
export interface Suggestion {
  readonly suggestionId: string
  readonly path: string
  /** What goes between prefix and suffix; or in place of the range, with its line ends. */
  readonly text: string
  readonly model: string
}

/** Lines of a file in other words. */
export interface SuggestedEdit extends Suggestion {
  /** Lines that it replaces, from 1, the last one included. `end` is one below `start` for lines that are put in before that. */
  readonly range: { readonly start: number; readonly end: number }
  /** What it does to the file, as a unified diff without file headers; cut at 64 KiB. */
  readonly diff: string
}

/** What a person did with a suggestion: took it, took it with changes, or did not. */
export type SuggestionDecision = 'accepted' | 'rejected' | { readonly edited: string }

/** What people are suggested in one task. */
export interface Suggestions {
  complete(actor: Actor, request: z.input<typeof CompleteOptions>, options: Abortable): Promise<Suggestion | undefined>
  suggestEdit(actor: Actor, request: z.input<typeof EditOptions>, options: Abortable): Promise<SuggestedEdit | undefined>
  decide(actor: Actor, suggestionId: string, decision: SuggestionDecision): Promise<void>
  /** Gives up what is under way, and waits until that is written down. */
  close(): Promise<void>
}

const path = z.string().min(1)
const CompleteOptions = z.strictObject({
  path,
  prefix: z.string(),
  suffix: z.string(),
  maxOutputTokens: z.int().positive().default(256),
})
const EditOptions = z.strictObject({
  path,
  range: z
    .strictObject({ start: z.int().positive(), end: z.int().nonnegative() })
    .refine(({ start, end }) => end >= start - 1, 'expected an end that is not before the start'),
  instruction: z.string().min(1, 'expected some text'),
  content: z.string().optional(),
})
const Decision = z.union([z.enum(['accepted', 'rejected']), z.strictObject({ edited: z.string() })])

/** Longest file that is read for an edit, and longest difference that is returned. */
const maxFileBytes = 1024 * 1024
const maxDiffBytes = 64 * 1024
/** So many changes at most are looked at for each suggestion. */
const maxChanges = 16

/** Starts a task's suggestions; reads nothing before the first is asked for. */
export function createSuggestions(runtime: TaskRuntime, sandbox: TaskSandbox): Suggestions {
  const { id, stream, state, parts } = runtime
  const closing = new AbortController()
  const latest = new Map<string, AbortController>()
  const underWay = new Set<Promise<unknown>>()
  let log: Promise<SuggestionLog> | undefined

  function alive(): void {
    if (state.closed) throw new BatonError('INVALID_STATE', `Task ${id} is closed for good; create another one.`)
  }

  /** The log as it is now, also where another process drives the task. */
  async function read(): Promise<SuggestionLog> {
    if (runtime.epoch === undefined) await stream.catchUp()
    alive()
    log ??= openSuggestionLog(stream)
    log.catch(() => {
      log = undefined
    })
    return log
  }

  /** Answers at once when the caller gives up, or asks for something newer under the same key; what is left to write down then is waited for by `close`. */
  async function run<T>(key: string, signal: AbortSignal | undefined, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    latest.get(key)?.abort(new BatonError('ABORTED', 'The suggestion was given up: a newer one was asked for.'))
    const newer = new AbortController()
    latest.set(key, newer)
    const interrupt = createInterrupt(AbortSignal.any([newer.signal, closing.signal, ...(signal ? [signal] : [])]), 'The suggestion')
    const stop = new AbortController()
    interrupt.onAbort = (error) => stop.abort(error)
    try {
      if (interrupt.aborted) throw interrupt.aborted
      const done = work(stop.signal)
      const over = done.catch(() => {}).finally(() => underWay.delete(over))
      underWay.add(over)
      return await interrupt.race(done)
    } finally {
      interrupt.close()
      if (latest.get(key) === newer) latest.delete(key)
    }
  }

  async function contextOf(file: string): Promise<{ changes: RecentChange[]; labels: Sensitivity[] }> {
    const { changes } = await read()
    const taken: RecentChange[] = []
    const labels: Sensitivity[] = []
    for (const change of byRelevance(changes, file).slice(0, maxChanges)) {
      const label = change.sensitivity ?? (await labelOf(parts, change.diff, [`file:${change.path}`])).sensitivity
      if (label) labels.push(label)
      taken.push(change)
    }
    return { changes: taken, labels }
  }

  /** The highest label of what is sent, the task's own included: it never goes to a model that may not see all of it. */
  async function labelled(
    pieces: readonly (readonly [text: string, source: string])[],
    labels: readonly Sensitivity[],
  ): Promise<Sensitivity> {
    const own = await Promise.all(pieces.map(([text, source]) => labelOf(parts, text, [source])))
    return highestSensitivity((stream.summary as TaskSummary).sensitivity, ...labels, ...own.map(({ sensitivity }) => sensitivity))
  }

  async function contentOf(file: string, given: string | undefined): Promise<string> {
    if (given !== undefined) return given
    if (!state.sandbox && runtime.epoch === undefined) {
      throw new BatonError(
        'INVALID_STATE',
        `suggestEdit: task ${id} has no sandbox to read ${JSON.stringify(file)} from. Give its \`content\`, or open the task as its driver.`,
      )
    }
    // The sandbox is the task's: giving up a suggestion does not give up its start.
    const found = await sandbox.get(new AbortController().signal)
    const text = decodeText(await found.readFile(file, { maxBytes: maxFileBytes }))
    if (text === undefined) throw new BatonError('INVALID_OPTIONS', `suggestEdit: path: ${JSON.stringify(file)} is no text in UTF-8.`)
    return text
  }

  return {
    async complete(actor, request, { signal }) {
      requirePerson(actor, 'complete')
      const { path: file, prefix, suffix, maxOutputTokens } = parseOptions('complete', CompleteOptions, request)
      return run(`complete ${actorKey(actor)} ${posix.normalize(file)}`, signal, async (stop) => {
        const { changes, labels } = await contextOf(file)
        const sensitivity = await labelled([[prefix + suffix, `file:${file}`]], labels)
        const prompt = { path: file, prefix, suffix, changes, maxOutputTokens, cacheKey: `${id}/complete` }
        const suggestionId = mintSuggestionId()
        let made: Suggestion | undefined
        await callForPerson(runtime, {
          ...{ actor, modelCallId: suggestionId, role: 'complete', sensitivity, signal: stop },
          sendFor: (info) => completionFor(prompt, info),
          conclude(reply, native) {
            const text = reply.refusal !== undefined ? '' : native ? reply.text : missingText(reply.text, { prefix, suffix })
            if (text.trim() === '') return []
            made = { suggestionId, path: file, text, model: reply.model }
            return [suggestionDraft({ ...made, kind: 'completion' })]
          },
        })
        return made
      })
    },
    async suggestEdit(actor, request, { signal }) {
      requirePerson(actor, 'suggestEdit')
      const { path: file, range, instruction, content: given } = parseOptions('suggestEdit', EditOptions, request)
      const suggestionId = mintSuggestionId()
      return run(suggestionId, signal, async (stop) => {
        const { changes, labels } = await contextOf(file)
        const content = await contentOf(file, given)
        const { before, lines, after } = cutOut(content, range)
        const sensitivity = await labelled(
          [
            [content, `file:${file}`],
            [instruction, actorKey(actor)],
          ],
          labels,
        )
        const prompt = { path: file, prefix: before, suffix: after, lines, instruction, changes, cacheKey: `${id}/edit` }
        let made: SuggestedEdit | undefined
        let failure: BatonError | undefined
        await callForPerson(runtime, {
          ...{ actor, modelCallId: suggestionId, role: 'edit', sensitivity, signal: stop },
          sendFor: (info) => editFor(prompt, info),
          conclude(reply) {
            failure = uselessReply(reply)
            const text = replacementText(reply.text, lines, { prefix: before, suffix: after })
            if (failure || text === lines) return []
            const { text: diff } = diffTexts(content, before + text + after, maxDiffBytes)
            made = { suggestionId, path: file, text, model: reply.model, range, diff }
            return [suggestionDraft({ suggestionId, kind: 'edit', path: file, text, range, instruction, model: reply.model })]
          },
        })
        if (failure) throw failure
        return made
      })
    },
    async decide(actor, suggestionId, decision) {
      requirePerson(actor, 'decideSuggestion')
      const given = parseOptions('decideSuggestion', z.object({ suggestionId: z.string(), decision: Decision }), { suggestionId, decision })
      const { decided } = await read()
      const data =
        typeof given.decision === 'string'
          ? { suggestionId, decision: given.decision }
          : { suggestionId, decision: 'edited' as const, text: given.decision.edited }
      await stream.append([{ type: 'suggestion.decided', actor, data }], {
        check() {
          alive()
          const known = decided.get(suggestionId)
          if (known === false) return
          const why = known ? 'was decided on already' : 'is none of the latest 200 of this task'
          throw new BatonError('UNKNOWN_REQUEST', `Task ${id}: the suggestion ${JSON.stringify(suggestionId)} ${why}.`)
        },
      })
    },
    async close() {
      closing.abort(new BatonError('CLOSED', `Task ${id} was closed here.`))
      await Promise.all(underWay)
    },
  }
}

function mintSuggestionId(): string {
  return `s-${uuidv7()}`
}

function requirePerson(actor: Actor, what: string): void {
  if (actor.kind === 'human') return
  throw new BatonError(
    'INVALID_STATE',
    `${what}: ${actorKey(actor)} is no person. Suggestions are for people: task.as({ kind: 'human', id }).${what}().`,
  )
}

function suggestionDraft(data: EventDraft<'suggestion.made'>['data']): EventDraft<'suggestion.made'> {
  return { type: 'suggestion.made', actor: systemActor, data }
}

/** Why a reply must not be put in place of anything, where that is so. */
function uselessReply({ model, refusal, finishReason }: ModelReply): BatonError | undefined {
  const why =
    refusal !== undefined || finishReason === 'refusal' || finishReason === 'content-filter'
      ? `${model} declined to edit${refusal === undefined ? '' : `: ${refusal}`}`
      : finishReason === 'length'
        ? `the reply of ${model} was cut off at the output limit; ask for fewer lines`
        : undefined
  return why === undefined ? undefined : new BatonError('MODEL_FAILED', `suggestEdit: ${why}.`)
}

function cutOut(content: string, { start, end }: { start: number; end: number }): { before: string; lines: string; after: string } {
  const all = content.match(/[^\n]*\n|[^\n]+$/g) ?? []
  if (start > all.length + 1 || end > all.length) {
    throw new BatonError('INVALID_OPTIONS', `suggestEdit: range: the text has ${all.length} lines, and ${start} to ${end} are not in it.`, {
      details: { lines: all.length },
    })
  }
  return { before: all.slice(0, start - 1).join(''), lines: all.slice(start - 1, end).join(''), after: all.slice(end).join('') }
}
