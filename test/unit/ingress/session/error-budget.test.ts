import assert from "node:assert/strict";
import { test } from "node:test";
import { replies } from "../../../../services/ingress/message/session-replies.ts";
import { ErrorBudget } from "../../../../services/ingress/session/error-budget.ts";

function times(count: number, act: () => unknown): void {
  for (let i = 0; i < count; i++) act();
}

test("twenty bad commands end a session, and each gets its own reply", () => {
  const budget = new ErrorBudget();
  assert.equal(budget.countError(replies.unknownCommand), replies.unknownCommand);
  times(18, () => budget.countError(replies.badSender));
  assert.equal(budget.isSpent, false);
  budget.countError(replies.badSender);
  assert.equal(budget.isSpent, true);
  assert.equal(budget.errors, 20);
});

test("commands that move no mail are errors only from the hundred and first on", () => {
  const budget = new ErrorBudget();
  times(100, () => budget.countIdleCommand(replies.ok));
  assert.equal(budget.errors, 0);
  times(19, () => budget.countIdleCommand(replies.ok));
  assert.equal(budget.isSpent, false);
  assert.equal(budget.countIdleCommand(replies.ok), replies.ok);
  assert.equal(budget.isSpent, true);
});

test("a hundred denied recipients end a session, though they are no errors", () => {
  const budget = new ErrorBudget();
  times(99, () => budget.countDenied(replies.rcptOk));
  assert.equal(budget.isSpent, false);
  budget.countDenied(replies.rcptOk);
  assert.equal(budget.isSpent, true);
  assert.equal(budget.errors, 0);
});

test("an accepted message restores the budget", () => {
  const budget = new ErrorBudget();
  times(20, () => budget.countError(replies.ok));
  times(100, () => budget.countDenied(replies.ok));
  times(100, () => budget.countIdleCommand(replies.ok));
  budget.restore();
  assert.equal(budget.isSpent, false);
  budget.countIdleCommand(replies.ok);
  assert.equal(budget.errors, 0);
});
