Feature: Physics alone

    As a physicist,
    I want a file of events with weights,
    so that I can analyse it in more ways than one.

    Scenario: The events are there
        When the workflow is finished
        Then the engine logs should contain "workflow completed successfully"
        And the workspace should contain "workflow_ph/combine/data/combined_delphes.h5"
