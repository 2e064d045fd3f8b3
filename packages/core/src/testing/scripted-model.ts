import { z } from 'zod'
import { abortedError, throwIfAborted } from '../errors.ts'
import type { Model, ModelChunk, ModelRequest } from '../models/model.ts'
import { ModelError, ModelInfo } from '../models/model.ts'
import { parseOptions } from '../options.ts'
import type { Script, ScriptedReply, ScriptedStep } from './script.ts'
import { argumentsOf, callIdOf, finishReasonOf, pause, playScript, ScriptSchema, splitText, usageOf } from './script.ts'

/** Options of {@link scriptedModel}. */
export interface ScriptedModelOptions {
  /** Default `scripted/model`. */
  readonly id?: string | undefined
  /** Default: 128,000 tokens, every capability but fill in the middle, free, on this host. */
  readonly info?: Partial<ModelInfo> | undefined
  /** Begins again when the script is at its end. Default false. */
  readonly loop?: boolean | undefined
  /** Longest piece of text. Default 16 characters. */
  readonly pieceLength?: number | undefined
}

/** A model that plays a script. */
export interface ScriptedModel extends Model {
  /** What it was asked, in order. */
  readonly requests: readonly ModelRequest[]
  /** Resolves when a call (from 1) is over: `sent` when its reply was read to the end, `gone` when it failed or its reader gave up. */
  ended(call: number): Promise<'sent' | 'gone'>
}

const defaultInfo: ModelInfo = {
  contextWindow: 128_000,
  capabilities: { tools: true, images: true, jsonSchema: true, reasoning: true, fim: false },
  price: { input: 0, output: 0 },
  location: 'local',
}

const Options = z.object({
  id: z.string().min(1).default('scripted/model'),
  info: z.preprocess((given) => ({ ...defaultInfo, ...(given as Partial<ModelInfo> | undefined) }), ModelInfo),
  loop: z.boolean().default(false),
  pieceLength: z.int().positive().default(16),
})

/**
 * A model that plays a script, in this process and without a network. It takes its steps in the order in which requests arrive.
 *
 * @throws BatonError `INVALID_OPTIONS`; a request after the last step fails with `INVALID_STATE` and says how many there were.
 */
export function scriptedModel(script: Script<ScriptedStep, ModelRequest>, options: ScriptedModelOptions = {}): ScriptedModel {
  parseOptions('scriptedModel', z.object({ script: ScriptSchema }), { script })
  const { id, info, loop, pieceLength } = parseOptions('scriptedModel', Options, options)
  const requests: ModelRequest[] = []
  const ends: PromiseWithResolvers<'sent' | 'gone'>[] = []
  const endOf = (call: number) => {
    ends[call - 1] ??= Promise.withResolvers()
    return ends[call - 1] as PromiseWithResolvers<'sent' | 'gone'>
  }
  const play = playScript('scriptedModel', script, loop)

  async function* generate(request: ModelRequest, signal: AbortSignal | undefined, stopped: AbortSignal): AsyncGenerator<ModelChunk> {
    throwIfAborted(signal, 'the model call')
    const call = requests.push({ ...request, messages: [...request.messages] })
    const anyStop = signal ? AbortSignal.any([signal, stopped]) : stopped
    let sent = false
    try {
      const step = await play(request, call)
      if (step.delayMs) await pause(step.delayMs, anyStop)
      if ('error' in step) throw new ModelError(step.error.kind, step.error.message ?? `scripted failure: ${step.error.kind}`, step.error)
      let pieces = 0
      for (const chunk of chunksOf(step, request, call, pieceLength)) {
        if (step.cutAfter === pieces) return
        if (step.stallAfter === pieces) await pause(undefined, anyStop)
        throwIfAborted(signal, 'the model call')
        pieces++
        sent = chunk.type === 'finish'
        yield chunk
      }
    } catch (error) {
      if (signal?.aborted) throw abortedError(signal, 'the model call')
      if (!stopped.aborted) throw error
    } finally {
      endOf(call).resolve(sent ? 'sent' : 'gone')
    }
  }

  return {
    id,
    info,
    requests,
    generate: (request, { signal }) => ({
      [Symbol.asyncIterator]() {
        const stop = new AbortController()
        const chunks = generate(request, signal, stop.signal)
        return {
          next: () => chunks.next(),
          return: () => {
            stop.abort()
            return chunks.return(undefined)
          },
        }
      },
    }),
    ended: (call) => endOf(call).promise,
  }
}

function* chunksOf(reply: ScriptedReply, request: ModelRequest, call: number, pieceLength: number): Generator<ModelChunk> {
  for (const text of splitText(reply.reasoning ?? '', pieceLength)) yield { type: 'reasoning', text }
  for (const data of reply.opaque ?? []) yield { type: 'opaque', data }
  for (const text of splitText(reply.text ?? '', pieceLength)) yield { type: 'text', text }
  for (const text of splitText(reply.refusal ?? '', pieceLength)) yield { type: 'refusal', text }
  for (const [index, tool] of (reply.toolCalls ?? []).entries()) {
    yield { type: 'tool-call', index, id: callIdOf(tool, call, index), name: tool.tool, arguments: '' }
    for (const piece of splitText(argumentsOf(tool), pieceLength)) yield { type: 'tool-call', index, arguments: piece }
  }
  const usage = usageOf(reply, JSON.stringify(request.messages).length)
  yield { type: 'finish', reason: finishReasonOf(reply), ...(usage && { usage }) }
}
