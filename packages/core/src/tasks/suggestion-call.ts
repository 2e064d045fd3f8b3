import { throwIfAborted } from '../errors.ts'
import type { Actor, Sensitivity } from '../events/envelope.ts'
import type { EventDraft } from '../events/event.ts'
import { noEligibleModel } from '../models/eligibility.ts'
import { executeRoute } from '../models/executor.ts'
import type { Model, ModelInfo, ModelReply } from '../models/model.ts'
import type { ModelSend } from '../models/receive-reply.ts'
import type { Abortable } from '../options.ts'
import { checkSpend, costBudgets, leastLeft } from './limits.ts'
import { throwAsLimit } from './model-calls.ts'
import type { TaskRuntime } from './runtime.ts'
import { sizeOf } from './suggestion-prompt.ts'

/** A model call that a person asks for, beside what the agent does. */
export interface PersonsCall extends Abortable {
  readonly actor: Actor
  readonly modelCallId: string
  readonly role: 'complete' | 'edit'
  /** Of what is sent, the task's own not counted. */
  readonly sensitivity: Sensitivity
  /** What is sent to a model, cut to its window. */
  sendFor(info: ModelInfo): ModelSend
  /** What to write down with the reply; `native` where the model itself filled in the middle. */
  conclude(reply: ModelReply, native: boolean): readonly EventDraft[]
}

/**
 * Makes the call: within the limits and budgets of the task, cleared for what it holds, and in the log in the person's name. It needs no lease, since what was
 * spent is a fact, whoever drives the task.
 *
 * @throws BatonError `LIMIT_REACHED`, `NO_ELIGIBLE_MODEL`, `ABORTED`; `ModelError` where the last attempt failed
 */
export async function callForPerson(runtime: TaskRuntime, call: PersonsCall): Promise<void> {
  const { parts, stream } = runtime
  const { actor, modelCallId, role, signal, sensitivity } = call
  const { router } = parts
  if (!router) throw noEligibleModel([])
  await parts.spending?.refresh()
  checkSpend(runtime)
  const infos = router.models.map(({ info }) => info).sort((a, b) => a.contextWindow - b.contextWindow)
  const [smallest] = infos
  const largest = infos.at(-1)
  if (!smallest || !largest) throw noEligibleModel([])
  const leftUsd = (): number | undefined => leastLeft(costBudgets(runtime))?.leftUsd
  // Each model is sent what its window takes, so none is too small as long as the least of it fits.
  const { request } = call.sendFor(smallest)
  const facts = { taskId: runtime.id, role, request, sensitivity, estimatedTokens: sizeOf({ request }), budgetUsd: leftUsd() }
  const route = await router.route({ ...facts, health: parts.health.all }).catch((error: unknown) => throwAsLimit(runtime, error))
  throwIfAborted(signal, 'The suggestion')

  const first = route.attempts[0]?.model
  const called: EventDraft = {
    type: 'model.called',
    actor,
    data: {
      ...{ modelCallId, role, model: first?.id ?? '', why: [...route.considered], sensitivity },
      // Nothing of the conversation is in it.
      ...{ prompt: 'own', upTo: 0, projection: runtime.projection.number, estimatedTokens: sizeOf(call.sendFor(first?.info ?? smallest)) },
    },
  }
  const [event] = await stream.append([called])
  const cause = event?.id ?? ''
  const reply = await executeRoute({
    ...facts,
    // For what it may cost: the most that any of them is sent.
    estimatedTokens: sizeOf(call.sendFor(largest)),
    route,
    modelCallId,
    health: parts.health,
    ...(facts.budgetUsd !== undefined && { leftUsd }),
    timing: parts.timing,
    signal,
    sendFor: ({ info }) => call.sendFor(info),
    mintCallId: (index) => `${modelCallId}c${index}`,
    async onFailed(failure) {
      await stream.append([{ type: 'model.failed', actor, cause, data: failure }])
    },
    onOutcome: (outcome) => router.observe?.(outcome),
  }).catch((error: unknown) => throwAsLimit(runtime, error))
  const { toolCalls, opaque, ...rest } = reply
  const finished: EventDraft = {
    type: 'model.finished',
    actor,
    cause,
    data: { ...rest, role, toolCalls: [...toolCalls], ...(opaque && { opaque: [...opaque] }) },
  }
  await stream.append([finished, ...call.conclude(reply, fillsIn(route.attempts, reply))])
}

function fillsIn(attempts: readonly { readonly model: Model }[], reply: ModelReply): boolean {
  return attempts.find(({ model }) => model.id === reply.model)?.model.complete !== undefined
}
