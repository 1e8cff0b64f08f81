//! What is at the other end of the firmware's serial port.

use std::{
    io::{self, Read, Write},
    sync::mpsc::{self, Receiver, TryRecvError},
    thread,
    time::Duration,
};

use crate::script::ScriptEnd;

/// What a console has to type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// A byte.
    Byte(u8),
    /// Nothing now.
    Nothing,
    /// Nothing now and ever again.
    End,
}

/// The other end of the serial port.
pub trait Console {
    /// The firmware has sent a byte.
    fn output(&mut self, byte: u8);

    /// The firmware can take a byte.
    fn input(&mut self) -> Input;

    /// The firmware sleeps until something happens.
    fn wait(&mut self) {}

    /// The run is to end, with this.
    fn end(&mut self) -> Option<ScriptEnd> {
        None
    }
}

/// Standard input and output.
pub struct Terminal {
    typed: Receiver<u8>,
    ended: bool,
}

impl Terminal {
    /// Begins to read standard input.
    pub fn new() -> Self {
        let (sender, typed) = mpsc::channel();
        thread::spawn(move || {
            io::stdin().lock().bytes().map_while(Result::ok).try_for_each(|byte| sender.send(byte))
        });
        Self { typed, ended: false }
    }
}

impl Default for Terminal {
    fn default() -> Self {
        Self::new()
    }
}

impl Console for Terminal {
    fn output(&mut self, byte: u8) {
        let mut out = io::stdout().lock();
        // Without a reader there is nobody to tell.
        let _ = out.write_all(&[byte]).and_then(|()| out.flush());
    }

    fn input(&mut self) -> Input {
        match self.typed.try_recv() {
            // The REPL's line ends are carriage returns.
            Ok(b'\n') => Input::Byte(b'\r'),
            Ok(byte) => Input::Byte(byte),
            Err(TryRecvError::Empty) => Input::Nothing,
            Err(TryRecvError::Disconnected) => {
                self.ended = true;
                Input::End
            }
        }
    }

    fn wait(&mut self) {
        if !self.ended {
            thread::sleep(Duration::from_millis(1));
        }
    }
}
