import { z } from 'zod'
import type { Autonomy } from '../events/envelope.ts'
import { Sensitivity } from '../events/envelope.ts'
import { ToolEffect } from '../events/tool-events.ts'
import { parseOptions } from '../options.ts'
import type { CommandPattern } from './command-pattern.ts'
import { compileCommands, problemOfCommand } from './command-pattern.ts'
import { compilePaths, problemOfPath } from './path-pattern.ts'
import type { Decision, Policy, PolicyContext, ToolCall } from './tool.ts'

/** A rule: applies where all that it names fits. */
export interface PolicyRule {
  /** Name of the tool, or several. */
  readonly tool?: string | readonly string[] | undefined
  readonly effect?: ToolEffect | readonly ToolEffect[] | undefined
  /**
   * What the call runs, for tools that tell it (`Tool.command`): a glob over one command such as `npm test`, `git push *` (with any arguments or none), or a
   * regular expression. An `allow` applies where every command of the line is certain and is taken as a whole: whatever a shell expands, redirects or
   * groups is not. `ask` and `deny` apply where anything that the line may run is taken; what is meant to be hidden from them can be, so they are no wall.
   */
  readonly command?: CommandPattern | readonly CommandPattern[] | undefined
  /**
   * Files that the call reads or writes, for tools that tell it (`Tool.paths`): globs from the workdir, such as `src/**` or `**\/*.{md,txt}`. An `allow`
   * applies where all are taken and none leads out of the workdir; `ask` and `deny` where one is taken, in whatever case, or leads out.
   */
  readonly path?: string | readonly string[] | undefined
  /** The task's label is at least this. */
  readonly sensitivity?: Sensitivity | undefined
  /** Looks at the call itself. One that throws denies. */
  readonly when?: ((call: ToolCall) => boolean) | undefined
  /** `propose` is for tools that change files; for others it is `ask`. */
  readonly decision: Decision['decision']
  /** Reaches the person who is asked, or the agent that is denied. */
  readonly reason?: string | undefined
}

/** Options of {@link createPolicy}. */
export interface PolicyOptions {
  /** The first that applies decides; without one, the task's autonomy does. */
  readonly rules?: readonly PolicyRule[] | undefined
}

const oneOrMore = <T extends z.ZodType>(item: T) => z.union([item, z.array(item)])

const Patterns = <T>(what: string, isOne: (value: unknown) => boolean) =>
  z
    .custom<T | readonly T[]>((value) => listOf(value).length > 0 && listOf(value).every(isOne), `expected ${what}, or several`)
    .transform((value) => listOf(value) as readonly T[])

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [value]
}

const Rule = z
  .strictObject({
    tool: oneOrMore(z.string()).optional(),
    effect: oneOrMore(ToolEffect).optional(),
    command: Patterns<CommandPattern>('a command pattern', (one) => typeof one === 'string' || one instanceof RegExp).optional(),
    path: Patterns<string>('a path pattern', (one) => typeof one === 'string').optional(),
    sensitivity: Sensitivity.optional(),
    when: z.custom<(call: ToolCall) => boolean>((value) => typeof value === 'function', 'expected a function').optional(),
    decision: z.enum(['allow', 'ask', 'deny', 'propose']),
    reason: z.string().optional(),
  })
  .superRefine(({ command = [], path = [], decision }, context) => {
    for (const one of command) refuse('command', problemOfCommand(one, decision === 'allow'), context)
    for (const one of path) refuse('path', problemOfPath(one), context)
  })

const Options = z.strictObject({ rules: z.array(Rule).default([]) })

function refuse(field: string, message: string | undefined, context: z.RefinementCtx): void {
  if (message !== undefined) context.addIssue({ code: 'custom', path: [field], message })
}

/** What runs unasked where no rule says otherwise. */
const unasked: Readonly<Record<Autonomy, readonly ToolEffect[]>> = {
  assist: ['read'],
  supervised: ['read', 'write'],
  autonomous: ['read', 'write', 'execute', 'external'],
}

/**
 * Builds the dial: by the task's autonomy, `assist` runs only what reads and has changes of files proposed, `supervised` also makes those, and
 * `autonomous` runs everything; a person is asked for the rest. Rules go before that.
 *
 * @throws BatonError `INVALID_OPTIONS`
 */
export function createPolicy(options: PolicyOptions = {}): Policy {
  const rules = parseOptions('createPolicy', Options, options).rules.map(compile)
  return {
    decide(call, context): Decision {
      const rule = rules.find((one) => one.applies(call, context))
      if (rule) return rule.decision
      const { effect, autonomy } = context
      if (unasked[autonomy].includes(effect)) return { decision: 'allow' }
      if (autonomy === 'assist' && effect === 'write') return { decision: 'propose' }
      return { decision: 'ask', reason: `this task is ${autonomy}, and the tool can ${what[effect]}` }
    },
  }
}

function compile(rule: z.output<typeof Rule>): { readonly decision: Decision; applies(call: ToolCall, context: PolicyContext): boolean } {
  const { tool, effect, sensitivity, when, decision, reason } = rule
  const commands = rule.command && compileCommands(rule.command)
  const paths = rule.path && compilePaths(rule.path)
  const certain = decision === 'allow'
  return {
    decision: { decision, reason },
    applies: (call, context) =>
      fits(tool, call.tool) &&
      fits(effect, context.effect) &&
      (sensitivity === undefined || levelOf(context.sensitivity) >= levelOf(sensitivity)) &&
      (!commands || (context.command !== undefined && commands[certain ? 'everyPart' : 'anyPart'](context.command))) &&
      (!paths || (context.paths !== undefined && paths[certain ? 'every' : 'any'](context.paths))) &&
      (when?.(call) ?? true),
  }
}

function levelOf(sensitivity: Sensitivity): number {
  return Sensitivity.options.indexOf(sensitivity)
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
