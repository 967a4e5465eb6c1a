Feature: Log messages

    As a physicist,
    I want to see what the steps of my analysis said,
    so that I can tell a sound run from one that merely ended.

    Scenario: The whole workflow has run
        When the workflow is finished
        Then the engine logs should contain "workflow completed successfully"

    Scenario: The detector has selected events
        When the workflow is finished
        Then the job logs for the "delphes_0" step should contain "events"

    Scenario: The networks have been compared to the truth
        When the workflow is finished
        Then the job logs for the "reference" step should contain "events expected at the true point"
        And the job logs for the "training_0" step should contain "validation loss"
        And the job logs for the "evaluating_0" step should contain "closure/correlation"

    Scenario: Limits have been set
        When the workflow is finished
        Then the job logs for the "plotting" step should contain "95 % CL"
