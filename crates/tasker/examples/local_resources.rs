//! Gives each worker something that must stay on its thread: here an interpreter made of `Rc`s.
//!
//! `cargo run --example local_resources`
//!
//! `TaskManager::new` moves resources between threads, so that it wants them `Send`. `new_local` makes,
//! uses and destroys each on one thread. What it gives up: lending to callers, and the pool for `run_task`.

#![expect(clippy::print_stdout, reason = "an example talks to its reader")]

use std::cell::RefCell;
use std::error::Error;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use tasker::{Config, TaskContext, TaskManager};

type Failure = Box<dyn Error + Send + Sync>;

/// Its parts share one output, as scripts, widgets and parsers like to do. Not `Send`.
struct Interpreter {
    thread: String,
    output: Rc<RefCell<Vec<String>>>,
    printer: Printer,
}

struct Printer(Rc<RefCell<Vec<String>>>);

impl Interpreter {
    fn start() -> Result<Self, Failure> {
        let output = Rc::new(RefCell::new(Vec::new()));
        let printer = Printer(Rc::clone(&output));
        Ok(Self { thread: this_thread(), output, printer })
    }

    fn shut_down(self) -> Result<(), Failure> {
        let scripts = self.output.borrow().join(" ");
        println!("  made on {}, destroyed on {}: ran {scripts}", self.thread, this_thread());
        Ok(())
    }

    /// Runs a script; says where, and where the interpreter was made.
    fn run(&mut self, cx: &TaskContext, script: &str) -> Result<(String, String), Failure> {
        cx.sleep(Duration::from_millis(40))?;
        self.printer.0.borrow_mut().push(script.to_owned());
        Ok((this_thread(), self.thread.clone()))
    }
}

fn this_thread() -> String {
    thread::current().name().unwrap_or("a thread without a name").to_owned()
}

fn main() -> Result<(), Box<dyn Error>> {
    let config = Config::new(Interpreter::start)
        .on_destroy(Interpreter::shut_down)
        .worker_count(2)
        .max_worker_count(2)
        .thread_name("script");
    let manager = TaskManager::new_local(config)?; // `new` would not compile: an `Rc` is not `Send`

    println!("The caller is {}.\n", this_thread());
    println!("script  ran on     interpreter made on");
    let scripts = ["a.js", "b.js", "c.js", "d.js", "e.js", "f.js"];
    let handles = scripts.map(|script| manager.queue_task_async(move |cx, i| i.run(cx, script)));

    // The task goes to the resource, never the resource to the task; only its result comes back. A
    // blocking call may still borrow from the caller, and `run_task` goes ahead of all that wait.
    let urgent = String::from("urgent.js");
    let (ran_on, made_on) = manager.run_task(|cx, interpreter| interpreter.run(cx, &urgent))?;
    println!("urgent  {ran_on:<9}  {made_on}  (run_task, ahead of the lanes)");
    for (script, handle) in scripts.iter().zip(handles) {
        let (ran_on, made_on) = handle.wait()?;
        println!("{script:<6}  {ran_on:<9}  {made_on}");
    }

    println!("\nNotice: every interpreter lives and dies on one thread.");
    println!("\n{}", manager.stop()?);
    Ok(())
}
