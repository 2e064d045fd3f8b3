import { z } from 'zod'
import type { Autonomy } from '../events/envelope.ts'
import { ToolEffect } from '../events/tool-events.ts'
import { parseOptions } from '../options.ts'
import type { Decision, Policy, ToolCall } from './tool.ts'

/** A rule: applies where all that it names fits. */
export interface PolicyRule {
  /** Name of the tool, or several. */
  readonly tool?: string | readonly string[] | undefined
  readonly effect?: ToolEffect | readonly ToolEffect[] | undefined
  /** Looks at the call itself. One that throws denies. */
  readonly when?: ((call: ToolCall) => boolean) | undefined
  readonly decision: 'allow' | 'ask' | 'deny'
  /** Reaches the person who is asked, or the agent that is denied. */
  readonly reason?: string | undefined
}

/** Options of {@link createPolicy}. */
export interface PolicyOptions {
  /** The first that applies decides; without one, the task's autonomy does. */
  readonly rules?: readonly PolicyRule[] | undefined
}

const oneOrMore = <T extends z.ZodType>(item: T) => z.union([item, z.array(item)])

const Options = z.strictObject({
  rules: z
    .array(
      z.strictObject({
        tool: oneOrMore(z.string()).optional(),
        effect: oneOrMore(ToolEffect).optional(),
        when: z.custom<(call: ToolCall) => boolean>((value) => typeof value === 'function', 'expected a function').optional(),
        decision: z.enum(['allow', 'ask', 'deny']),
        reason: z.string().optional(),
      }),
    )
    .default([]),
})

/** What runs unasked where no rule says otherwise. */
const unasked: Readonly<Record<Autonomy, readonly ToolEffect[]>> = {
  assist: ['read'],
  supervised: ['read', 'write'],
  autonomous: ['read', 'write', 'execute', 'external'],
}

/**
 * Builds the dial: by the task's autonomy, `assist` runs only what reads, `supervised` also what changes files of the sandbox, and
 * `autonomous` everything; a person is asked for the rest. Rules go before that.
 *
 * @throws BatonError `INVALID_OPTIONS`
 */
export function createPolicy(options: PolicyOptions = {}): Policy {
  const { rules } = parseOptions('createPolicy', Options, options)
  return {
    decide(call, { effect, autonomy }): Decision {
      const rule = rules.find((one) => fits(one.tool, call.tool) && fits(one.effect, effect) && (one.when?.(call) ?? true))
      if (rule) return { decision: rule.decision, reason: rule.reason }
      if (unasked[autonomy].includes(effect)) return { decision: 'allow' }
      return { decision: 'ask', reason: `this task is ${autonomy}, and the tool can ${what[effect]}` }
    },
  }
}

const what: Readonly<Record<ToolEffect, string>> = {
  read: 'read',
  write: 'change files',
  execute: 'run commands',
  external: 'reach beyond the sandbox',
}

function fits<T>(wanted: T | readonly T[] | undefined, given: T): boolean {
  return wanted === undefined || (Array.isArray(wanted) ? wanted.includes(given) : wanted === given)
}
