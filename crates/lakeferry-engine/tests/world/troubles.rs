//! What goes wrong besides the source: engines crash, the server fails, calls are lost.

use lakeferry_testkit::Fault;
use rand::Rng;

use super::World;

impl World {
    pub(super) fn crash(&mut self) {
        let engine = self.random.random_range(0..self.engines.len());
        if self.engines[engine].attempt.take().is_some() {
            self.note("crash");
        }
    }

    pub(super) fn trouble_at_server(&mut self) {
        match self.random.random_range(0..11) {
            10 => {
                if self.filling.is_some() {
                    self.server.drop_fill();
                    self.note("fill dropped");
                }
            }
            0..3 => {
                self.server.restart();
                self.note("server restarted");
            }
            3..5 => {
                self.server.give_up_sessions();
                self.note("sessions given up");
            }
            5..6 => {
                self.server.let_lease_pass();
                self.note("lease passed");
            }
            6..8 => self.standby = Some(Box::new(self.server.standby())),
            _ => {
                if let Some(promote) = &self.standby {
                    promote();
                    // The oracle of the watermark starts over from what the standby has.
                    self.seen = self.server.standing().watermark().cloned();
                    self.kept.clear();
                    self.had.clear();
                    if let Some(progress) = self.server.standing().progress {
                        self.note_previous(&progress);
                    }
                    self.note("standby promoted");
                }
            }
        }
    }

    pub(super) fn queue_fault(&mut self) {
        let operations = [
            "head",
            "survey",
            "changes",
            "snapshot",
            "pieces",
            "end of rows",
            "inspect",
            "claim",
            "alter",
            "stage",
            "put",
            "fill",
            "loader",
            "begin piece",
            "put piece",
            "finish piece",
            "apply",
            "release",
        ];
        if self.random.random() {
            let fault = if self.random.random() {
                Fault::LoseAnswer
            } else {
                Fault::LoseRequest
            };
            let commit = ["commit", "commit piece"][self.random.random_range(0..2)];
            self.server.faults.lock().unwrap().queue(commit, fault);
            return;
        }
        let operation = operations[self.random.random_range(0..operations.len())];
        self.source
            .faults
            .lock()
            .unwrap()
            .queue(operation, Fault::Fail);
        self.server
            .faults
            .lock()
            .unwrap()
            .queue(operation, Fault::Fail);
    }
}
