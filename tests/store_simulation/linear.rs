//! Is there an order of the operations on a log, one behind the other, that explains all of their answers? A search after Wing
//! and Gong: each operation takes effect at one moment between its call and its return.

use std::collections::{BTreeSet, HashSet};

use tower_sse::store::{Acquired, Answer, Appended, Command, Fence};

/// How many operations may be under way at once. A history with more is not looked at from there on.
const MOST: usize = 12;
/// Milliseconds behind which an operation that was never answered has taken effect, or never will.
const FORGOTTEN: u64 = 1_000;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Acquire { seen: Option<Fence>, fence: Fence },
    Append { fence: Fence, base: u64, last: u64 },
    Finish { fence: Fence, base: u64 },
}

/// The calls and returns of one log, in the order in which they were seen.
#[derive(Debug, Default)]
pub(crate) struct History {
    steps: Vec<Step>,
    /// Calls without a return, and when their connection was lost.
    open: Vec<(usize, Option<u64>)>,
    calls: usize,
}

#[derive(Debug)]
enum Step {
    Call(usize, Operation),
    /// None where there will be no answer.
    Return(usize, Option<Answer>),
}

/// What there is to know of a log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Register {
    fence: Option<Fence>,
    position: u64,
    ended: bool,
}

impl Operation {
    pub(crate) fn of(command: &Command) -> Option<Self> {
        match command {
            Command::Acquire { seen, fence, .. } => Some(Operation::Acquire {
                seen: *seen,
                fence: *fence,
            }),
            Command::Append {
                fence, base, last, ..
            } => Some(Operation::Append {
                fence: *fence,
                base: *base,
                last: *last,
            }),
            Command::Finish { fence, base } => Some(Operation::Finish {
                fence: *fence,
                base: *base,
            }),
            _ => None,
        }
    }

    /// What it makes of the log and answers; nothing where that depends on more than is looked at here.
    fn apply(&self, register: &mut Register) -> Option<Appended> {
        match self {
            Operation::Acquire { .. } => None,
            Operation::Append { fence, base, last } => {
                if register.fence != Some(*fence) || register.ended {
                    return Some(Appended::Fenced);
                }
                if register.position != *last && register.position != *base {
                    return Some(Appended::At(register.position));
                }
                register.position = *last;
                Some(Appended::Done)
            }
            Operation::Finish { fence, base } => {
                if register.fence != Some(*fence) || register.ended {
                    return Some(Appended::Fenced);
                }
                if register.position != *base {
                    return Some(Appended::At(register.position));
                }
                register.ended = true;
                Some(Appended::Done)
            }
        }
    }

    /// All that the log may be behind it, if this was answered.
    fn after(&self, register: Register, answer: Option<&Answer>) -> Vec<Register> {
        if let Operation::Acquire { seen, fence } = self {
            let owned = Register {
                fence: Some(*fence),
                ..register
            };
            let may = register.fence == *seen && !register.ended;
            return match answer {
                Some(Answer::Acquired(Acquired::Own(meta))) => {
                    let is_it = meta.position == register.position && may;
                    is_it.then_some(owned).into_iter().collect()
                }
                Some(_) => vec![register],
                None if may => vec![owned, register],
                None => vec![register],
            };
        }
        let mut behind = register;
        let would = self.apply(&mut behind);
        let is_it = match answer {
            Some(Answer::Appended(appended)) => would == Some(*appended),
            _ => true,
        };
        is_it.then_some(behind).into_iter().collect()
    }
}

impl History {
    pub(crate) fn call(&mut self, operation: Operation) -> usize {
        let number = self.calls;
        self.calls += 1;
        self.steps.push(Step::Call(number, operation));
        self.open.push((number, None));
        number
    }

    pub(crate) fn returned(&mut self, number: usize, answer: Answer) {
        self.open.retain(|(open, _)| *open != number);
        self.steps.push(Step::Return(number, Some(answer)));
    }

    /// These will have no answer.
    pub(crate) fn lost(&mut self, is_lost: impl Fn(usize) -> bool, now: u64) {
        for (number, since) in &mut self.open {
            if is_lost(*number) {
                since.get_or_insert(now);
            }
        }
    }

    /// Time has passed.
    pub(crate) fn forget(&mut self, now: u64) {
        let steps = &mut self.steps;
        self.open.retain(|(number, since)| {
            let is_over = since.is_some_and(|since| now >= since + FORGOTTEN);
            if is_over {
                steps.push(Step::Return(*number, None));
            }
            !is_over
        });
    }

    /// Which operation's answer nothing explains.
    pub(crate) fn check(&self) -> Result<(), String> {
        let mut answers = vec![None; self.calls];
        for step in &self.steps {
            if let Step::Return(number, answer) = step {
                answers[*number].clone_from(answer);
            }
        }
        let mut open: Vec<(usize, &Operation)> = Vec::new();
        // What the log may be, and which of the open calls have taken effect then.
        let mut states = HashSet::from([(Register::default(), BTreeSet::new())]);
        for step in &self.steps {
            match step {
                Step::Call(number, operation) => open.push((*number, operation)),
                Step::Return(number, answer) => {
                    states = reach(states, &open, &answers);
                    if answer.is_some() {
                        states.retain(|(_, done)| done.contains(number));
                    }
                    if states.is_empty() {
                        let operation = open.iter().find(|(open, _)| open == number);
                        return Err(format!("{operation:?} was answered {answer:?}"));
                    }
                    open.retain(|(open, _)| open != number);
                    states = states
                        .into_iter()
                        .map(|(register, mut done)| {
                            done.remove(number);
                            (register, done)
                        })
                        .collect();
                }
            }
            if open.len() > MOST {
                return Ok(());
            }
        }
        Ok(())
    }
}

type States = HashSet<(Register, BTreeSet<usize>)>;

/// All that can be reached if any of the open calls take effect, in any order.
fn reach(states: States, open: &[(usize, &Operation)], answers: &[Option<Answer>]) -> States {
    let mut next: Vec<_> = states.iter().cloned().collect();
    let mut reached = states;
    while let Some((register, done)) = next.pop() {
        for (number, operation) in open {
            if done.contains(number) {
                continue;
            }
            for behind in operation.after(register, answers[*number].as_ref()) {
                let mut done = done.clone();
                done.insert(*number);
                let state = (behind, done);
                if reached.insert(state.clone()) {
                    next.push(state);
                }
            }
        }
    }
    reached
}

const FENCE: Fence = Fence {
    counter: 1,
    random: 9,
};

fn append(base: u64, last: u64) -> Operation {
    Operation::Append {
        fence: FENCE,
        base,
        last,
    }
}

/// A history of a log that is owned, in which these are called at once, and answered in this order.
fn at_once(operations: &[(Operation, Appended)]) -> Result<(), String> {
    let mut history = History::default();
    let acquire = history.call(Operation::Acquire {
        seen: None,
        fence: FENCE,
    });
    history.lost(|number| number == acquire, 0);
    history.forget(FORGOTTEN);
    let calls: Vec<_> = operations
        .iter()
        .map(|(operation, _)| history.call(operation.clone()))
        .collect();
    for (call, (_, appended)) in calls.into_iter().zip(operations) {
        history.returned(call, Answer::Appended(*appended));
    }
    history.check()
}

#[test]
fn appends_that_overlap_may_be_done_in_any_order() {
    let both = [
        (append(1, 2), Appended::Done),
        (append(0, 1), Appended::Done),
    ];
    assert_eq!(at_once(&both), Ok(()));
    let again = [
        (append(0, 1), Appended::Done),
        (append(0, 1), Appended::Done),
    ];
    assert_eq!(at_once(&again), Ok(()));
}

#[test]
fn two_appends_behind_one_position_are_not_both_done() {
    let both = [
        (append(0, 1), Appended::Done),
        (append(0, 2), Appended::Done),
    ];
    assert!(at_once(&both).is_err());
    let one = [
        (append(0, 1), Appended::Done),
        (append(0, 2), Appended::At(1)),
    ];
    assert_eq!(at_once(&one), Ok(()));
}

#[test]
fn an_append_under_another_fence_is_not_done() {
    let other = Operation::Append {
        fence: Fence { random: 8, ..FENCE },
        base: 0,
        last: 1,
    };
    assert!(at_once(&[(other.clone(), Appended::Done)]).is_err());
    assert_eq!(at_once(&[(other, Appended::Fenced)]), Ok(()));
}

#[test]
fn what_returned_before_the_next_was_called_is_done_before_it() {
    let mut history = History::default();
    for (operation, answer) in [
        (append(0, 1), Appended::Fenced),
        (append(0, 1), Appended::Done),
    ] {
        let call = history.call(operation);
        history.returned(call, Answer::Appended(answer));
    }
    assert!(history.check().is_err());
}
