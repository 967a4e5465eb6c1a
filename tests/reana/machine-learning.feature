Feature: Machine learning alone

    As a physicist,
    I want limits from events that are there already,
    so that a new idea needs no new events.

    Scenario: Limits and plots are there
        When the workflow is finished
        Then the engine logs should contain "workflow completed successfully"
        And the job logs for the "plotting" step should contain "95 % CL"
        And the workspace should contain "workflow_ml/plotting/plots/limits.yml"
